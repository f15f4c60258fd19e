//! Every call of a tree, with the place that gives it its meaning.

use crate::{Call, Sequence, Stage};

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Position {
    /// As a stage of a sequence: it searches or reranks.
    Stage,
    /// Before an opening brace: it makes sub-queries.
    Expander,
    /// After a closing brace: it fuses.
    Merger,
}

impl Sequence {
    /// All calls in the order in which they are written.
    #[must_use]
    pub fn calls(&self) -> Calls<'_> {
        let mut calls = Calls {
            waiting: Vec::new(),
        };
        calls.push(self);
        calls
    }
}

/// See [`Sequence::calls`].
#[derive(Clone, Debug)]
pub struct Calls<'a> {
    // The next node is the last.
    waiting: Vec<Node<'a>>,
}

#[derive(Clone, Copy, Debug)]
enum Node<'a> {
    Stage(&'a Stage),
    Branch(&'a Sequence),
    Call(Position, &'a Call),
}

impl<'a> Calls<'a> {
    fn push(&mut self, sequence: &'a Sequence) {
        self.waiting
            .extend(sequence.stages.iter().rev().map(Node::Stage));
    }
}

impl<'a> Iterator for Calls<'a> {
    type Item = (Position, &'a Call);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.waiting.pop()? {
                Node::Call(position, call) => return Some((position, call)),
                Node::Stage(Stage::Call(call)) => return Some((Position::Stage, call)),
                Node::Branch(sequence) => self.push(sequence),
                Node::Stage(Stage::Parallel(parallel)) => {
                    self.waiting
                        .push(Node::Call(Position::Merger, &parallel.merger));
                    self.waiting
                        .extend(parallel.branches.iter().rev().map(Node::Branch));
                    self.waiting.extend(
                        parallel
                            .expander
                            .as_ref()
                            .map(|call| Node::Call(Position::Expander, call)),
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Position::{Expander, Merger, Stage};
    use crate::parse;

    #[test]
    fn visits_in_the_order_of_the_source() {
        let pipeline = parse("e{a, b >> {c}d, f}g >> h").unwrap();
        let seen: Vec<_> = pipeline
            .calls()
            .map(|(at, call)| (at, &*call.name.text))
            .collect();
        let expected = [
            (Expander, "e"),
            (Stage, "a"),
            (Stage, "b"),
            (Stage, "c"),
            (Merger, "d"),
            (Stage, "f"),
            (Merger, "g"),
            (Stage, "h"),
        ];
        assert_eq!(seen, expected);
    }
}
