//! How texts of different lengths are put into calls of a model: sorted by length, so that little of
//! a call is padding.

/// A text goes with longer ones if it is at least this many quarters as long as the longest: attention
/// and products are paid for padding too.
const LIKE_QUARTERS: usize = 3;

/// Calls smaller than this, in tokens, take in texts of any length: what a call costs beside its
/// tokens is more than padding.
const SMALL: usize = 64;

/// Splits texts of these lengths (in tokens) into calls of at most `max_tokens`, padding included,
/// and `max_texts`. A text that is longer goes alone. Texts of a call are of like length, so that at
/// most a quarter of a call is padding, but for calls of few tokens. Answers the texts' positions,
/// longest texts first; every position is in exactly one call.
#[must_use]
pub fn batches(lengths: &[usize], max_tokens: usize, max_texts: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    let length = |position: usize| lengths.get(position).copied().unwrap_or_default();
    order.sort_by_key(|&position| std::cmp::Reverse(length(position)));
    let mut calls: Vec<Vec<usize>> = Vec::new();
    let mut width = 0_usize;
    for position in order {
        let like = length(position).saturating_mul(4) >= width.saturating_mul(LIKE_QUARTERS);
        let joins = |call: &Vec<usize>| {
            call.len() < max_texts.max(1)
                && (call.len() + 1).saturating_mul(width) <= max_tokens
                && (like || call.len().saturating_mul(width) < SMALL)
        };
        match calls.last_mut().filter(|call| joins(call)) {
            Some(call) => call.push(position),
            None => {
                width = length(position).max(1);
                calls.push(vec![position]);
            }
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_text_is_in_one_call_and_no_call_is_too_large(
            lengths in prop::collection::vec(0_usize..600, 0..80),
            max_tokens in 1_usize..2000,
            max_texts in 0_usize..40,
        ) {
            let calls = batches(&lengths, max_tokens, max_texts);
            let mut seen: Vec<usize> = calls.iter().flatten().copied().collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
            for call in &calls {
                let width = call.iter().map(|&at| lengths[at].max(1)).max().unwrap_or(1);
                prop_assert!(call.len() == 1 || width * call.len() <= max_tokens);
                prop_assert!(call.len() <= max_texts.max(1));
            }
        }
    }

    #[test]
    fn padding_is_a_quarter_of_a_call_at_most_unless_it_is_small() {
        assert_eq!(
            batches(&[100, 74, 75, 10, 9, 5, 1], 1000, 100),
            [vec![0, 2], vec![1], vec![3, 4, 5, 6]]
        );
    }

    #[test]
    fn texts_of_like_length_go_together() {
        assert_eq!(batches(&[3, 100, 4, 90], 200, 8), [vec![1, 3], vec![2, 0]]);
    }
}
