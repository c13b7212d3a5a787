//! What is kept of a conversation by number until what belongs to it comes: files that are open, calls without an answer.

use std::collections::VecDeque;

/// The latest of what is kept.
#[derive(Debug)]
pub(super) struct Kept<T>(VecDeque<(u64, T)>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Kept(VecDeque::new())
    }
}

impl<T> Kept<T> {
    /// Keeps one more; whether the oldest of so many had to go for it.
    #[must_use]
    pub fn push(&mut self, number: u64, value: T, most: usize) -> bool {
        let is_full = self.0.len() >= most.max(1);
        if is_full {
            self.0.pop_front();
        }
        self.0.push_back((number, value));
        is_full
    }

    /// Takes out the latest of a number.
    pub fn take(&mut self, number: u64) -> Option<T> {
        let at = self.0.iter().rposition(|k| k.0 == number)?;
        self.0.remove(at).map(|k| k.1)
    }

    /// The latest of a number.
    pub fn get(&self, number: u64) -> Option<&T> {
        self.0.iter().rfind(|k| k.0 == number).map(|k| &k.1)
    }

    /// Likewise.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let is = |k: &&mut (u64, T)| k.0 == number;
        self.0.iter_mut().rfind(is).map(|k| &mut k.1)
    }

    /// All of them, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|k| &k.1)
    }

    /// All of them with their numbers, the oldest first.
    pub fn into_all(self) -> impl Iterator<Item = (u64, T)> {
        self.0.into_iter()
    }

    /// Memory that it takes, with what each takes beside itself.
    pub fn room(&self, beside: impl Fn(&T) -> usize) -> usize {
        let beside = self.iter().map(beside).sum::<usize>();
        self.0.capacity() * size_of::<(u64, T)>() + beside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_and_that_is_said() {
        let mut kept = Kept::default();
        assert!(!kept.push(1, "a", 2) && !kept.push(2, "b", 2));
        assert!(kept.push(2, "c", 2));
        assert_eq!((kept.get(1), kept.get(2)), (None, Some(&"c")));
        assert_eq!(
            (kept.take(2), kept.take(2), kept.take(2)),
            (Some("c"), Some("b"), None)
        );
        assert!(kept.room(|t| t.len()) > 0);
    }
}
