//! The conditions of a rule on bits and counters, and the changes that a match makes: `flowbits`, `flowint`, `xbits`, `hostbits`.

use super::super::rule::{Compare, CounterValue, Rule, Scope, StateChange, StateTest};
use super::{FlowState, Moment, Shared};
use std::collections::BTreeMap;

/// Numbers for the names of bits and counters of a rule set.
#[derive(Debug, Clone, Default)]
pub struct Names {
    numbers: BTreeMap<String, u32>,
    names: Vec<String>,
}

impl Names {
    /// The number of a name; new names get the next one.
    pub fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.names.len() as u32;
        self.numbers.insert(name.to_owned(), number);
        self.names.push(name.to_owned());
        number
    }

    /// The name of a number.
    pub fn name(&self, number: u32) -> Option<&str> {
        self.names.get(number as usize).map(String::as_str)
    }
}

/// What a rule asks of memory and what it changes there.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    asks: Vec<Ask>,
    changes: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Ask {
    /// One of the bits is set, or one is not.
    Bits(Scope, Vec<u32>, bool),
    Counter(u32, fn(u32, u32) -> bool, Amount),
    Exists(u32, bool),
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Set(Scope, u32, u32),
    Unset(Scope, u32),
    Toggle(Scope, u32, u32),
    Counter(u32, Sum, Amount),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sum {
    Set,
    Add,
    Subtract,
}

#[derive(Debug, Clone, Copy)]
enum Amount {
    Fixed(u32),
    Counter(u32),
}

impl Memory {
    /// That of a rule.
    pub fn of(rule: &Rule, names: &mut Names) -> Self {
        Self {
            asks: rule.asks.iter().map(|a| ask(a, names)).collect(),
            changes: rule.changes.iter().map(|c| change(c, names)).collect(),
        }
    }

    /// Whether it asks nothing.
    pub fn asks_nothing(&self) -> bool {
        self.asks.is_empty()
    }

    /// Whether it changes nothing.
    pub fn changes_nothing(&self) -> bool {
        self.changes.is_empty()
    }

    /// Whether it asks or changes what does not belong to one flow.
    pub fn is_shared(&self) -> bool {
        let asks = self.asks.iter().any(|a| match a {
            Ask::Bits(scope, ..) => *scope != Scope::Flow,
            _ => false,
        });
        asks || self.changes.iter().any(|c| match c {
            Change::Set(scope, ..) | Change::Unset(scope, _) | Change::Toggle(scope, ..) => {
                *scope != Scope::Flow
            }
            Change::Counter(..) => false,
        })
    }

    /// Whether all conditions hold. What is asked of a flow never holds without one.
    pub fn holds(&self, at: &Moment, flow: Option<&FlowState>, shared: &Shared) -> bool {
        self.asks.iter().all(|ask| match ask {
            Ask::Bits(Scope::Flow, bits, set) => {
                flow.is_some_and(|f| bits.iter().any(|b| f.has(*b) == *set))
            }
            Ask::Bits(scope, bits, set) => {
                bits.iter().any(|b| shared.is_set(*b, *scope, at) == *set)
            }
            // a counter that does not exist holds nothing, not even `!=`
            Ask::Counter(id, compare, with) => flow.is_some_and(|f| {
                f.counter(*id)
                    .is_some_and(|now| compare(now, with.in_flow(f)))
            }),
            Ask::Exists(id, exists) => flow.is_some_and(|f| f.counter(*id).is_some() == *exists),
        })
    }

    /// Makes the changes of a match, in the order of the rule.
    pub fn apply(&self, at: &Moment, mut flow: Option<&mut FlowState>, shared: &Shared) {
        for change in &self.changes {
            match *change {
                Change::Set(Scope::Flow, bit, _) => {
                    flow.as_deref_mut().into_iter().for_each(|f| f.set(bit));
                }
                Change::Unset(Scope::Flow, bit) => {
                    flow.as_deref_mut().into_iter().for_each(|f| f.unset(bit));
                }
                Change::Toggle(Scope::Flow, bit, _) => {
                    flow.as_deref_mut()
                        .into_iter()
                        .for_each(|f| match f.has(bit) {
                            true => f.unset(bit),
                            false => f.set(bit),
                        });
                }
                Change::Set(scope, bit, seconds) => shared.set(bit, scope, at, seconds),
                Change::Unset(scope, bit) => shared.unset(bit, scope, at),
                Change::Toggle(scope, bit, seconds) => shared.toggle(bit, scope, at, seconds),
                Change::Counter(id, sum, amount) => {
                    flow.as_deref_mut()
                        .into_iter()
                        .for_each(|f| count(f, id, sum, amount));
                }
            }
        }
    }
}

/// Counters have 32 bits and wrap. What is added to a counter that does not exist makes it; nothing is taken from one.
fn count(flow: &mut FlowState, id: u32, sum: Sum, amount: Amount) {
    let (now, amount) = (flow.counter(id), amount.in_flow(flow));
    let value = match sum {
        Sum::Set => amount,
        Sum::Add => now.unwrap_or(0).wrapping_add(amount),
        Sum::Subtract => match now {
            Some(now) => now.wrapping_sub(amount),
            None => return,
        },
    };
    flow.set_counter(id, value);
}

impl Amount {
    fn of(value: &CounterValue, names: &mut Names) -> Self {
        match value {
            CounterValue::Fixed(number) => Self::Fixed(*number),
            CounterValue::Counter(name) => Self::Counter(names.number(name)),
        }
    }

    /// Another counter that does not exist counts as 0.
    fn in_flow(self, flow: &FlowState) -> u32 {
        match self {
            Self::Fixed(number) => number,
            Self::Counter(id) => flow.counter(id).unwrap_or(0),
        }
    }
}

fn ask(test: &StateTest, names: &mut Names) -> Ask {
    let bits = |scope: &Scope, list: &[String], set, names: &mut Names| {
        let numbers = list.iter().map(|n| names.number(n)).collect();
        Ask::Bits(*scope, numbers, set)
    };
    match test {
        StateTest::IsSet(scope, list) => bits(scope, list, true, names),
        StateTest::IsNotSet(scope, list) => bits(scope, list, false, names),
        StateTest::Counter(name, compare, value) => {
            let compare: fn(u32, u32) -> bool = match compare {
                Compare::Less => |a, b| a < b,
                Compare::Greater => |a, b| a > b,
                Compare::Equal => |a, b| a == b,
                Compare::AtMost => |a, b| a <= b,
                Compare::AtLeast => |a, b| a >= b,
                Compare::And => |a, b| a & b != 0,
                Compare::Xor => |a, b| a ^ b != 0,
            };
            Ask::Counter(names.number(name), compare, Amount::of(value, names))
        }
        StateTest::CounterNot(name, value) => {
            Ask::Counter(names.number(name), |a, b| a != b, Amount::of(value, names))
        }
        StateTest::CounterExists(name, exists) => Ask::Exists(names.number(name), *exists),
    }
}

fn change(change: &StateChange, names: &mut Names) -> Change {
    match change {
        StateChange::Set(scope, name, seconds) => Change::Set(*scope, names.number(name), *seconds),
        StateChange::Unset(scope, name) => Change::Unset(*scope, names.number(name)),
        StateChange::Toggle(scope, name, seconds) => {
            Change::Toggle(*scope, names.number(name), *seconds)
        }
        StateChange::CounterSet(name, value) => {
            Change::Counter(names.number(name), Sum::Set, Amount::of(value, names))
        }
        StateChange::CounterAdd(name, value) => {
            Change::Counter(names.number(name), Sum::Add, Amount::of(value, names))
        }
        StateChange::CounterSubtract(name, value) => {
            Change::Counter(names.number(name), Sum::Subtract, Amount::of(value, names))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Settings;
    use super::super::super::keyword::testing::rule;
    use super::super::testing::at;
    use super::*;

    /// Which of the rules match each of the packets, given in seconds and hosts, in the order of the rules.
    fn run(options: &[&str], packets: &[Moment], has_flow: bool) -> Vec<Vec<usize>> {
        let mut names = Names::default();
        let mut memory = |o: &&str| Memory::of(&rule("udp", o).unwrap(), &mut names);
        let rules: Vec<Memory> = options.iter().map(&mut memory).collect();
        let (shared, mut flow) = (Shared::new(&Settings::default(), 0), FlowState::default());
        let mut matched = |packet: &Moment| {
            let mut list = vec![];
            for (number, memory) in (1..).zip(&rules) {
                if memory.holds(packet, has_flow.then_some(&flow), &shared) {
                    memory.apply(packet, has_flow.then_some(&mut flow), &shared);
                    list.push(number);
                }
            }
            list
        };
        packets.iter().map(&mut matched).collect()
    }

    fn four() -> Vec<Moment> {
        (0..4).map(|s| at(f64::from(s), 1, 2)).collect()
    }

    #[test]
    fn bits_of_flows_are_set_asked_and_turned() {
        let rules = [
            "flowbits:isnotset,a; flowbits:set,a;",
            "flowbits:toggle,b;",
            "flowbits:isset,b|a;",
            "flowbits:isset,b;",
            "flowbits:isnotset,a|b;",
        ];
        let got = run(&rules, &four(), true);
        assert_eq!(
            got,
            [
                vec![1, 2, 3, 4],
                vec![2, 3, 5],
                vec![2, 3, 4],
                vec![2, 3, 5]
            ]
        );
        // what is asked of a flow never holds without one; changes without one are none
        assert_eq!(run(&rules, &four(), false), [[2], [2], [2], [2]]);
    }

    #[test]
    fn counters_come_to_be_by_adding_and_wrap() {
        let rules = [
            "flowint:bb,-,1;",
            "flowint:bb,isset;",
            "flowint:bb,!=,7;",
            "flowint:bb,notset;",
            "flowint:aa,+,1;",
            "flowint:aa,==,2;",
            "flowint:aa,>,cc;",
            "flowint:dd,=,5;",
            "flowint:dd,-,9;",
            "flowint:dd,>,1000;",
        ];
        let always = [1, 4, 5, 7, 8, 9, 10];
        let second = [1, 4, 5, 6, 7, 8, 9, 10];
        let got = run(&rules, &four(), true);
        assert_eq!(
            got,
            [
                always.to_vec(),
                second.to_vec(),
                always.to_vec(),
                always.to_vec()
            ]
        );
    }

    #[test]
    fn bits_of_hosts_live_to_the_end_of_their_last_second() {
        let seconds = [0.5, 5.0, 10.0, 10.6, 11.0, 29.0];
        let packets: Vec<Moment> = seconds.iter().map(|s| at(*s, 1, 2)).collect();
        let rules = [
            "flowint:zz,notset; flowint:zz,=,1; xbits:set,a,track ip_src,expire 10;",
            "xbits:isset,a,track ip_src;",
            "xbits:isnotset,a,track ip_src;",
        ];
        let got = run(&rules, &packets, true);
        assert_eq!(
            got,
            [vec![1, 2], vec![2], vec![2], vec![2], vec![3], vec![3]]
        );
    }

    #[test]
    fn bits_belong_to_hosts_and_pairs_whichever_way_packets_go() {
        let packets = [at(0.0, 1, 2), at(1.0, 2, 1), at(2.0, 1, 3), at(3.0, 3, 1)];
        let first = "flowint:zz,notset; flowint:zz,=,1;";
        let set = format!(
            "{first} xbits:set,p,track ip_pair; xbits:set,s,track ip_src; hostbits:set,d,dst;"
        );
        let rules = [
            set.as_str(),
            "xbits:isset,p,track ip_pair;",
            "xbits:isset,s,track ip_src;",
            "xbits:isset,s,track ip_dst;",
            "hostbits:isset,d,src;",
            "xbits:isset,d,track ip_dst;",
        ];
        let got = run(&rules, &packets, true);
        assert_eq!(got, [vec![1, 2, 3, 6], vec![2, 4, 5], vec![3], vec![4]]);
    }
}
