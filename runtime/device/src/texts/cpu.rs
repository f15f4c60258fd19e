//! The same on the processor: what a device must equal.

use super::{Join, Pooling};

/// The vector of a text whose tokens are the first `count` of the rows in `states`.
#[must_use]
pub fn pool_on_cpu(how: &Pooling, states: &[f32], count: usize) -> Vec<f32> {
    let rows = || states.chunks_exact(how.width.max(1)).take(count);
    let fold = |start: f32, join: fn(f32, f32) -> f32| {
        let mut all = vec![start; how.width];
        for row in rows() {
            for (all, value) in all.iter_mut().zip(row) {
                *all = join(*all, *value);
            }
        }
        all
    };
    let sum = |by: f32| {
        let mut all = fold(0.0, |a, b| a + b);
        all.iter_mut().for_each(|it| *it *= 1.0 / by);
        all
    };
    let mut vector = match how.join {
        Join::First => rows().next().unwrap_or_default().to_vec(),
        Join::Last => rows().next_back().unwrap_or_default().to_vec(),
        Join::Most => fold(f32::NEG_INFINITY, f32::max),
        Join::Mean => sum(count as f32),
        Join::MeanSqrt => sum((count as f32).sqrt()),
    };
    if how.scale {
        scale(&mut vector);
    }
    vector.truncate(how.dim);
    if how.scale_last {
        scale(&mut vector);
    }
    vector
}

fn scale(vector: &mut [f32]) {
    let length = vector.iter().map(|it| it * it).sum::<f32>().sqrt();
    let factor = 1.0 / length.max(1e-12);
    vector.iter_mut().for_each(|it| *it *= factor);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::Number;

    #[test]
    fn tokens_become_one_vector_and_what_fills_up_does_not_count() {
        let states = [1.0, -2.0, 3.0, 4.0, 100.0, 100.0];
        let pool = |join, scale, dim, scale_last| {
            let how = Pooling {
                number: Number::Single,
                length: 3,
                width: 2,
                join,
                scale,
                dim,
                scale_last,
            };
            pool_on_cpu(&how, &states, 2)
        };
        assert_eq!(pool(Join::First, false, 2, false), [1.0, -2.0]);
        assert_eq!(pool(Join::Last, false, 2, false), [3.0, 4.0]);
        assert_eq!(pool(Join::Mean, false, 2, false), [2.0, 1.0]);
        assert_eq!(pool(Join::Most, false, 2, false), [3.0, 4.0]);
        let by = 1.0 / 2.0_f32.sqrt();
        assert_eq!(pool(Join::MeanSqrt, false, 2, false), [4.0 * by, 2.0 * by]);
        assert_eq!(pool(Join::Last, true, 2, false), [0.6, 0.8]);
        assert_eq!(pool(Join::Last, true, 1, false), [0.6]);
        assert_eq!(pool(Join::Last, true, 1, true), [1.0]);
    }
}
