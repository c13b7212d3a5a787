//! When places of the arena are due: a wheel of seconds whose lists are links in the places themselves.

/// Where a place hangs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    next: u32,
    prev: u32,
    /// Bucket, or [`NONE`].
    bucket: u32,
}

impl Default for Link {
    fn default() -> Self {
        Link {
            next: NONE,
            prev: NONE,
            bucket: NONE,
        }
    }
}

/// Something with a link.
pub(super) trait Linked {
    fn link(&self) -> &Link;
    fn link_mut(&mut self) -> &mut Link;
}

/// One list for each second of the next [`TURN`]; each is a ring in the order in which places were hung.
#[derive(Debug)]
pub(super) struct Wheel {
    heads: Box<[u32; TURN as usize]>,
    /// One bit for each list that has places.
    used: [u64; TURN as usize / 64],
    count: usize,
}

impl Wheel {
    pub fn new() -> Self {
        Wheel {
            heads: Box::new([NONE; TURN as usize]),
            used: [0; TURN as usize / 64],
            count: 0,
        }
    }

    /// Places that hang here.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Hangs a place at a second; at most [`TURN`] - 1 ahead of the last one that was taken.
    pub fn hang<T: Linked>(&mut self, places: &mut [T], place: u32, second: i64) {
        let bucket = second.rem_euclid(TURN) as u32;
        let head = self.heads[bucket as usize];
        let link = if head == NONE {
            self.heads[bucket as usize] = place;
            self.used[bucket as usize / 64] |= 1 << (bucket % 64);
            Link {
                next: place,
                prev: place,
                bucket,
            }
        } else {
            let tail = places[head as usize].link().prev;
            places[tail as usize].link_mut().next = place;
            places[head as usize].link_mut().prev = place;
            Link {
                next: head,
                prev: tail,
                bucket,
            }
        };
        *places[place as usize].link_mut() = link;
        self.count += 1;
    }

    /// Takes a place off; nothing happens where it does not hang.
    pub fn unhang<T: Linked>(&mut self, places: &mut [T], place: u32) {
        let Link { next, prev, bucket } = *places[place as usize].link();
        if bucket == NONE {
            return;
        }
        if next == place {
            self.heads[bucket as usize] = NONE;
            self.used[bucket as usize / 64] &= !(1 << (bucket % 64));
        } else {
            places[prev as usize].link_mut().next = next;
            places[next as usize].link_mut().prev = prev;
            if self.heads[bucket as usize] == place {
                self.heads[bucket as usize] = next;
            }
        }
        *places[place as usize].link_mut() = Link::default();
        self.count -= 1;
    }

    /// The place that hangs longest at a second.
    pub fn first_at(&self, second: i64) -> Option<u32> {
        let head = self.heads[second.rem_euclid(TURN) as usize];
        (head != NONE).then_some(head)
    }

    /// The place that hangs longest at the first second after `second` that has any.
    pub fn first_after(&self, second: i64) -> Option<u32> {
        let start = (second + 1).rem_euclid(TURN) as usize;
        let words = self.used.len();
        for step in 0..=words {
            let word = (start / 64 + step) % words;
            let mut bits = self.used[word];
            if step == 0 {
                bits &= u64::MAX << (start % 64);
            } else if step == words {
                bits &= !(u64::MAX << (start % 64));
            }
            if bits != 0 {
                return Some(self.heads[word * 64 + bits.trailing_zeros() as usize]);
            }
        }
        None
    }
}

/// Seconds of a turn.
pub(super) const TURN: i64 = 1024;

const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Default)]
    struct Item(Link);

    impl Linked for Item {
        fn link(&self) -> &Link {
            &self.0
        }
        fn link_mut(&mut self) -> &mut Link {
            &mut self.0
        }
    }

    proptest! {
        #[test]
        fn places_come_in_order_of_seconds_and_of_hanging(
            steps in proptest::collection::vec((0u32..30, 1i64..TURN, any::<bool>()), 0..200), now in 0i64..5000
        ) {
            let mut items = vec![Item::default(); 30];
            let mut wheel = Wheel::new();
            let mut model: Vec<(i64, u32)> = vec![];
            for (place, ahead, hang) in steps {
                let hangs = model.iter().any(|(_, p)| *p == place);
                if hang && !hangs {
                    wheel.hang(&mut items, place, now + ahead);
                    model.push((now + ahead, place));
                } else if !hang {
                    wheel.unhang(&mut items, place);
                    model.retain(|(_, p)| *p != place);
                }
                prop_assert_eq!(wheel.len(), model.len());
            }
            model.sort_by_key(|(second, _)| *second);
            for (second, place) in model {
                prop_assert_eq!(wheel.first_after(now), Some(place));
                prop_assert_eq!(wheel.first_at(second), Some(place));
                wheel.unhang(&mut items, place);
            }
            prop_assert_eq!(wheel.first_after(now), None);
        }
    }
}
