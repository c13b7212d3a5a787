//! Keywords on calls and requests that are compared in a way of their own: `dce_iface`, `dce_opnum`, `modbus`, `dnp3_ind`, `dnp3_obj`, `nfs_procedure`, `enip_command`,
//! `rfb.secresult`.

use super::super::draft::Draft;
use super::super::modbus::Modbus;
use super::super::number::Number;
use super::super::rule::Test;
use super::super::syntax::OptionText;
use super::{Keyword, Need, parts};

#[rustfmt::skip]
pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword { name: "dce_iface", value: Need::Value, apply: interface },
    Keyword { name: "dcerpc.iface", value: Need::Value, apply: interface },
    Keyword { name: "dce_opnum", value: Need::Value, apply: operations },
    Keyword { name: "dcerpc.opnum", value: Need::Value, apply: operations },
    Keyword { name: "modbus", value: Need::Value, apply: modbus },
    Keyword { name: "dnp3_func", value: Need::Value, apply: function },
    Keyword { name: "dnp3_ind", value: Need::Value, apply: indications },
    Keyword { name: "dnp3_obj", value: Need::Value, apply: object },
    Keyword { name: "nfs_procedure", value: Need::Value, apply: nfs },
    Keyword { name: "nfs_version", value: Need::Value, apply: nfs },
    Keyword { name: "nfs.version", value: Need::Value, apply: nfs },
    Keyword { name: "enip_command", value: Need::Value, apply: enip },
];

/// A UUID, a condition on the version, and whether later fragments count, too: here calls are whole.
fn interface(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let mut parts = parts(option);
    let uuid = parts.remove(0).to_ascii_lowercase();
    let groups: Vec<usize> = uuid.split('-').map(str::len).collect();
    let hex = |c: char| c.is_ascii_hexdigit() || c == '-';
    if groups != [8, 4, 4, 4, 12] || !uuid.chars().all(hex) {
        return Err(format!("`{uuid}` is no UUID"));
    }
    let mut words = vec![uuid];
    for part in parts {
        if part == "any_frag" {
            continue;
        }
        if !part.starts_with(['<', '>', '=', '!']) || words.len() > 1 {
            return Err(format!("`{part}` is no version with <, >, = or !"));
        }
        Number::parse(&part, u16::MAX.into())?;
        words.push(part);
    }
    draft.need(DCE, "dce_iface")?;
    draft.rule.tests.push(Test::Word("dce_iface", false, words));
    Ok(())
}

/// Numbers and ranges, both ends with them.
fn operations(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let mut numbers = vec![];
    for part in parts(option) {
        let one = |text: &str| {
            text.trim()
                .parse::<u16>()
                .map(u64::from)
                .map_err(|_| format!("`{text}` is no number up to {}", u16::MAX))
        };
        numbers.push(match part.split_once('-') {
            None => Number::Equal(one(&part)?),
            Some((low, high)) => match (one(low)?, one(high)?) {
                (low, high) if low > high => return Err(format!("`{part}` is no range")),
                (0, high) => Number::AtMost(high),
                (low, high) => Number::Between(low - 1, high + 1),
            },
        });
    }
    draft.need(DCE, "dce_opnum")?;
    let test = Test::AnyNumber("dce_opnum", numbers);
    draft.rule.tests.push(test);
    Ok(())
}

fn modbus(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let made = Modbus::parse(&option.text())?;
    draft.need(&["modbus"], "modbus")?;
    draft.rule.tests.push(Test::Modbus(made));
    Ok(())
}

/// A function of DNP3 by number or name.
fn function(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let text = option.text().trim().to_ascii_lowercase();
    let known = FUNCTIONS.iter().find(|f| f.0 == text).map(|f| f.1);
    let number = known.or_else(|| text.parse::<u8>().ok().map(u64::from));
    let number = number.ok_or_else(|| format!("`{text}` is no function of DNP3"))?;
    draft.need(&["dnp3"], "dnp3_func")?;
    let test = Test::Number("dnp3_func", Number::Equal(number));
    draft.rule.tests.push(test);
    Ok(())
}

/// Internal indications of DNP3: any of them is set.
fn indications(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let mut numbers = vec![];
    for part in parts(option).iter().flat_map(|p| p.split('|')) {
        let name = part.trim().to_ascii_lowercase();
        let bit = INDICATIONS.iter().find(|i| i.0 == name).map(|i| i.1);
        let bit = bit.ok_or_else(|| format!("`{name}` is no internal indication"))?;
        numbers.push(Number::Equal(bit));
    }
    draft.need(&["dnp3"], "dnp3_ind")?;
    draft.rule.tests.push(Test::AnyNumber("dnp3_ind", numbers));
    Ok(())
}

/// Group and variation of an object of DNP3.
fn object(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let numbers: Vec<Option<u8>> = parts(option).iter().map(|p| p.parse().ok()).collect();
    let [Some(group), Some(variation)] = numbers[..] else {
        return Err("is a group and a variation".to_owned());
    };
    draft.need(&["dnp3"], "dnp3_obj")?;
    let number = Number::Equal(u64::from(group) << 8 | u64::from(variation));
    draft.rule.tests.push(Test::Number("dnp3_obj", number));
    Ok(())
}

fn nfs(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let name = match option.name.as_str() {
        "nfs_procedure" => "nfs_procedure",
        _ => "nfs_version",
    };
    draft.need(&["nfs"], name)?;
    let number = Number::parse(&option.text(), u32::MAX.into())?;
    draft.rule.tests.push(Test::Number(name, number));
    Ok(())
}

fn enip(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    draft.need(&["enip"], "enip_command")?;
    let number = Number::parse(&option.text(), u16::MAX.into())?;
    draft.rule.tests.push(Test::Number("enip_command", number));
    Ok(())
}

const DCE: &[&str] = &["dcerpc", "smb"];
/// IEEE 1815 section 4.2.2.5.
#[rustfmt::skip]
const FUNCTIONS: &[(&str, u64)] = &[
    ("confirm", 0), ("read", 1), ("write", 2), ("select", 3), ("operate", 4), ("direct_operate", 5), ("direct_operate_nr", 6),
    ("immed_freeze", 7), ("immed_freeze_nr", 8), ("freeze_clear", 9), ("freeze_clear_nr", 10), ("freeze_at_time", 11),
    ("freeze_at_time_nr", 12), ("cold_restart", 13), ("warm_restart", 14), ("initialize_data", 15), ("initialize_appl", 16),
    ("start_appl", 17), ("stop_appl", 18), ("save_config", 19), ("enable_unsolicited", 20), ("disable_unsolicited", 21),
    ("assign_class", 22), ("delay_measure", 23), ("record_current_time", 24), ("open_file", 25), ("close_file", 26),
    ("delete_file", 27), ("get_file_info", 28), ("authenticate_file", 29), ("abort_file", 30), ("activate_config", 31),
    ("authenticate_req", 32), ("authenticate_err", 33), ("response", 129), ("unsolicited_response", 130), ("authenticate_resp", 131),
];
/// IEEE 1815 section 4.2.2.6; the first octet is the upper one.
#[rustfmt::skip]
const INDICATIONS: &[(&str, u64)] = &[
    ("all_stations", 8), ("class_1_events", 9), ("class_2_events", 10), ("class_3_events", 11), ("need_time", 12),
    ("local_control", 13), ("device_trouble", 14), ("device_restart", 15), ("no_func_code_support", 0), ("object_unknown", 1),
    ("parameter_error", 2), ("event_buffer_overflow", 3), ("already_executing", 4), ("config_corrupt", 5), ("reserved_2", 6),
    ("reserved_1", 7),
];

#[cfg(test)]
mod tests {
    use super::super::testing::{refuses, takes};

    #[test]
    fn calls_and_their_near_misses() {
        let uuid = "367abb81-9844-35f1-ad32-98f038001003";
        let with = |rest: &str| format!("dce_iface:{uuid}{rest};");
        takes(
            "dcerpc",
            &[&with(""), &with(",>1,any_frag"), "dce_opnum:1,3-15,0-2;"],
        );
        takes("smb", &[&with(", =2")]);
        takes(
            "dnp3",
            &[
                "dnp3_func:write;",
                "dnp3_func:129;",
                "dnp3_ind:device_restart, need_time;",
                "dnp3_obj:60,2;",
            ],
        );
        takes("nfs", &["nfs_procedure:6;", "nfs.version:>2;"]);
        takes("modbus", &["modbus:function 3;"]);
        takes("enip", &["enip_command:99;"]);
        refuses(
            "dcerpc",
            &[
                "dce_iface:367abb81;",
                &with(",1"),
                &with(",<2,<3"),
                "dce_opnum:5-1;",
                "dce_opnum:many;",
            ],
        );
        refuses(
            "dnp3",
            &[
                "dnp3_func:jump;",
                "dnp3_ind:sunshine;",
                "dnp3_obj:60;",
                "dnp3_obj:60,300;",
            ],
        );
        refuses(
            "http",
            &["dce_opnum:1;", "modbus:function 3;", "nfs_procedure:6;"],
        );
    }
}
