//! What the conversation must be like: `flow`, `stream_size`, and the ages and counts of flows.

use super::super::draft::Draft;
use super::super::number::Number;
use super::super::rule::{FlowDirection, StreamSide, Test};
use super::super::syntax::OptionText;
use super::{Keyword, Need, parts};

#[rustfmt::skip]
pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword { name: "flow", value: Need::Value, apply: flow },
    Keyword { name: "stream_size", value: Need::Value, apply: stream_size },
];

fn flow(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let mut now = draft.rule.flow;
    for word in parts(option) {
        let word = word.to_ascii_lowercase();
        let (slot, what) = match word.as_str() {
            "to_server" | "from_client" | "to_client" | "from_server" => {
                let to_server = matches!(word.as_str(), "to_server" | "from_client");
                let direction = if to_server {
                    FlowDirection::ToServer
                } else {
                    FlowDirection::ToClient
                };
                (now.direction.replace(direction).is_some(), "direction")
            }
            "established" => (
                now.established.replace(true).is_some() || now.stateless,
                "state",
            ),
            "not_established" => (
                now.established.replace(false).is_some() || now.stateless,
                "state",
            ),
            "stateless" => {
                let before = std::mem::replace(&mut now.stateless, true);
                (before || now.established.is_some(), "state")
            }
            "only_stream" => (now.stream.replace(true).is_some(), "kind of packets"),
            "no_stream" => (now.stream.replace(false).is_some(), "kind of packets"),
            "only_frag" => (now.fragments.replace(true).is_some(), "kind of fragments"),
            "no_frag" => (now.fragments.replace(false).is_some(), "kind of fragments"),
            _ => return Err(format!("`{word}` is not known here")),
        };
        if slot {
            return Err(format!("`{word}`: the {what} is said twice"));
        }
    }
    draft.rule.flow = now;
    Ok(())
}

fn stream_size(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let parts = parts(option);
    let [side, sign, size] = &parts[..] else {
        return Err("is `side, operator, bytes`".to_owned());
    };
    let side = match side.as_str() {
        "client" => StreamSide::Client,
        "server" => StreamSide::Server,
        "both" => StreamSide::Both,
        "either" => StreamSide::Either,
        other => {
            return Err(format!(
                "`{other}` is no side: client, server, both, either"
            ));
        }
    };
    if !matches!(sign.as_str(), "<" | ">" | "=" | "!=" | "<=" | ">=") {
        return Err(format!("`{sign}` is no operator"));
    }
    let sign = if sign == "!=" { "!" } else { sign };
    let number = Number::parse(&format!("{sign}{size}"), u32::MAX.into())?;
    draft.rule.tests.push(Test::StreamSize(side, number));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{refuses, takes};

    #[test]
    fn flow_and_its_near_misses() {
        takes(
            "tcp",
            &[
                "flow:established, to_server;",
                "flow:from_server,not_established;",
                "flow:stateless;",
                "flow:to_client,only_stream,no_frag;",
                "stream_size:server,<,5;",
                "stream_size:either,!=,5;",
            ],
        );
        refuses(
            "tcp",
            &[
                "flow:;",
                "flow:to_server,to_client;",
                "flow:established,stateless;",
                "flow:established,not_established;",
                "flow:only_stream,no_stream;",
                "flow:sideways;",
                "stream_size:server,5;",
                "stream_size:nobody,<,5;",
                "stream_size:server,~,5;",
            ],
        );
    }
}
