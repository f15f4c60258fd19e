//! Many texts through a model: in calls of texts of like length, several calls at once, each text
//! answered alone.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use routir_core::{Error, ErrorCode, Result};

use crate::library::guarded;
use crate::{Buckets, Tokens, batches};

/// Calls smaller than this, in tokens, are not made just to have one for each thread: what a call
/// costs beside its tokens would show.
const LEAST_TOKENS: usize = 128;

/// Larger calls, in tokens, gain nothing on a CPU and lose its caches: encoding texts of all lengths
/// with MiniLM took 8 % more time in calls of 4096 tokens.
const MOST_TOKENS: usize = 512;

/// The most texts of one call.
const MOST_TEXTS: usize = 512;

/// How texts go through a model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calls<'a> {
    /// The most tokens of a call, padding included.
    pub(crate) max_tokens: usize,
    /// How many threads there are.
    pub(crate) threads: usize,
    /// On a GPU: the lengths that texts are filled up to, and the longest that the model reads. There
    /// one call runs at a time, and the larger the better.
    pub(crate) buckets: Option<(&'a Buckets, usize)>,
}

impl Calls<'_> {
    /// The lengths of the texts as they are run, the most tokens of a call, and how many calls run at
    /// once.
    fn plan(&self, texts: &[Tokens]) -> (Vec<usize>, usize, usize) {
        let lengths = texts.iter().map(Tokens::len);
        if let Some((buckets, most)) = self.buckets {
            let lengths = lengths.map(|length| buckets.length(length, most));
            return (lengths.collect(), self.max_tokens, 1);
        }
        let lengths: Vec<usize> = lengths.collect();
        let share = lengths.iter().sum::<usize>().div_ceil(self.threads.max(1));
        let most = share.clamp(LEAST_TOKENS, MOST_TOKENS).min(self.max_tokens);
        (lengths, most, self.threads)
    }
}

/// Runs `call` over all texts, in calls and on threads as `calls` says, this one among them. `call`
/// answers each text of a call in order.
///
/// When a call of several texts fails, each of them is tried alone, so that a text fails only by its
/// own fault. Once `cancelled`, no further call is made.
pub(crate) fn run_calls<T: Send>(
    texts: &[Tokens],
    calls: Calls<'_>,
    cancelled: &AtomicBool,
    call: impl Fn(&[&Tokens]) -> Result<Vec<Result<T>>> + Sync,
) -> Vec<Result<T>> {
    let (lengths, most, threads) = calls.plan(texts);
    let calls = batches(&lengths, most, MOST_TEXTS);
    let answers: Vec<Mutex<Option<Result<T>>>> = texts.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(positions) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
            let batch: Vec<&Tokens> = positions.iter().filter_map(|&at| texts.get(at)).collect();
            for (&at, answer) in positions.iter().zip(one_call(&batch, cancelled, &call)) {
                if let Some(place) = answers.get(at) {
                    *place.lock() = Some(answer);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(calls.len()) {
            scope.spawn(work);
        }
        work();
    });
    answers
        .into_iter()
        .map(|answer| answer.into_inner().unwrap_or_else(|| Err(lost())))
        .collect()
}

fn one_call<T>(
    batch: &[&Tokens],
    cancelled: &AtomicBool,
    call: &(impl Fn(&[&Tokens]) -> Result<Vec<Result<T>>> + Sync),
) -> Vec<Result<T>> {
    let all = |error: Error| batch.iter().map(|_| Err(error.clone())).collect();
    if cancelled.load(Ordering::Relaxed) {
        return all(Error::new(
            ErrorCode::Cancelled,
            "nobody waits for this text any more",
        ));
    }
    if batch.iter().any(|tokens| tokens.is_empty()) {
        return match batch {
            [_] => all(Error::invalid("a text without any token has no answer")),
            _ => alone(batch, cancelled, call),
        };
    }
    let panicked = |why| Err(Error::internal(format!("a model panicked: {why}")));
    match guarded(|| call(batch)).unwrap_or_else(panicked) {
        Ok(answers) if answers.len() == batch.len() => answers,
        Ok(answers) => all(Error::engine(format!(
            "a model answered {} texts of {}",
            answers.len(),
            batch.len()
        ))),
        Err(error) if batch.len() == 1 => all(error),
        Err(_) => alone(batch, cancelled, call),
    }
}

fn alone<T>(
    batch: &[&Tokens],
    cancelled: &AtomicBool,
    call: &(impl Fn(&[&Tokens]) -> Result<Vec<Result<T>>> + Sync),
) -> Vec<Result<T>> {
    batch
        .chunks(1)
        .flat_map(|one| one_call(one, cancelled, call))
        .collect()
}

fn lost() -> Error {
    Error::internal("a text of a batch was not answered")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(ids: &[u32]) -> Tokens {
        Tokens {
            ids: ids.into(),
            ..Tokens::default()
        }
    }

    fn calls(threads: usize) -> Calls<'static> {
        Calls {
            max_tokens: 100,
            threads,
            buckets: None,
        }
    }

    #[test]
    fn on_a_gpu_texts_of_one_bucket_share_a_call() {
        let texts: Vec<Tokens> = [20, 3, 31, 17, 16].map(|n| text(&vec![1; n])).into();
        let buckets = Buckets::new(vec![16, 32]).unwrap();
        let calls = Calls {
            max_tokens: 96,
            threads: 8,
            buckets: Some((&buckets, 512)),
        };
        let seen = Mutex::new(Vec::new());
        let call = |batch: &[&Tokens]| {
            let mut lengths: Vec<usize> = batch.iter().map(|it| it.len()).collect();
            lengths.sort_unstable();
            seen.lock().push(lengths);
            sums(batch)
        };
        let answers = run_calls(&texts, calls, &AtomicBool::new(false), call);
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(seen.into_inner(), [vec![17, 20, 31], vec![3, 16]]);
    }

    fn sums(batch: &[&Tokens]) -> Result<Vec<Result<u32>>> {
        Ok(batch
            .iter()
            .map(|tokens| Ok(tokens.ids.iter().sum()))
            .collect())
    }

    #[test]
    fn answers_come_in_the_order_of_the_texts_however_many_threads_there_are() {
        let texts: Vec<Tokens> = (0..200).map(|n| text(&vec![1; n % 37 + 1])).collect();
        for threads in [0, 1, 3] {
            let answers = run_calls(&texts, calls(threads), &AtomicBool::new(false), sums);
            for (tokens, answer) in texts.iter().zip(answers) {
                assert_eq!(answer.unwrap() as usize, tokens.len());
            }
        }
        assert!(run_calls(&[], calls(2), &AtomicBool::new(false), sums).is_empty());
    }

    #[test]
    fn a_bad_text_fails_alone() {
        let texts = [text(&[1]), text(&[13]), text(&[]), text(&[2]), text(&[66])];
        let call = |batch: &[&Tokens]| match batch.iter().any(|it| it.ids.contains(&13)) {
            true => Err(Error::engine("unlucky")),
            false if batch.iter().any(|it| it.ids.contains(&66)) => panic!("boom"),
            false => sums(batch),
        };
        let answers = run_calls(&texts, calls(1), &AtomicBool::new(false), call);
        let good: Vec<bool> = answers.iter().map(Result::is_ok).collect();
        assert_eq!(good, [true, false, false, true, false]);
        assert_eq!(
            answers.get(1).unwrap().as_ref().unwrap_err().message(),
            "unlucky"
        );
    }

    #[test]
    fn what_is_cancelled_ends_between_two_calls() {
        let texts: Vec<Tokens> = (0..10).map(|_| text(&[1; 100])).collect();
        let cancelled = AtomicBool::new(false);
        let call = |batch: &[&Tokens]| {
            cancelled.store(true, Ordering::Relaxed);
            sums(batch)
        };
        let answers = run_calls(&texts, calls(1), &cancelled, call);
        assert_eq!(answers.iter().filter(|it| it.is_ok()).count(), 1);
        let codes = answers
            .iter()
            .filter_map(|it| it.as_ref().err())
            .map(Error::code);
        assert!(codes.into_iter().all(|code| code == ErrorCode::Cancelled));
    }
}
