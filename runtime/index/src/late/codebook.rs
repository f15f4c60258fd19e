//! The centroids of an index, in groups, so that a token vector is compared with a few thousand of
//! them instead of all.
//!
//! A flat search for the nearest of 2^18 centroids costs as much as the model that made the vector.
//! So k-means runs twice: groups of the whole sample, then centroids within each group; a vector is
//! compared with the centroids of its [`PROBES`] nearest groups.

use rayon::prelude::*;

use super::kernel::{Panel, WIDTH};
use super::kmeans::{Centroids, assign, by_cluster, lloyd, means};
use super::points::{Points, sample};

/// Fewer centroids than this stay one group.
const FLAT: usize = 512;
/// Groups whose centroids a vector is compared with.
const PROBES: usize = 8;
/// Points for learning each group.
const GROUP_SAMPLE: usize = 256;
/// Rounds of k-means over the groups, within them, and over all centroids at the end.
const ROUNDS: [usize; 3] = [8, 6, 2];
/// Vectors that are assigned together on one thread.
const CHUNK: usize = 4096;

/// Vectors per centroid to learn from; more hardly change it.
const PER_CENTROID: usize = 64;
/// The seed of all samples.
const SEED: u64 = 42;

/// Centroids in groups.
#[derive(Debug)]
pub(crate) struct Codebook {
    dim: usize,
    groups: Centroids,
    /// Each group's centroids, and the number of its first.
    members: Vec<(usize, Centroids)>,
    len: usize,
}

impl Codebook {
    /// Learns about `count` centroids of as many of the points as that takes.
    pub(crate) fn of_sample(points: Points<'_>, count: usize) -> Self {
        let most = count.saturating_mul(PER_CENTROID);
        Self::learn(points, &sample(&points.all(), most, SEED), count, SEED)
    }

    /// Learns about `count` centroids of the points of `which`.
    pub(crate) fn learn(points: Points<'_>, which: &[u32], count: usize, seed: u64) -> Self {
        let [coarse, fine, last] = ROUNDS;
        let groups = if count < FLAT { 1 } else { count.isqrt() };
        let some = sample(which, groups * GROUP_SAMPLE, seed);
        let centers = lloyd(points, &some, groups, coarse, seed);
        let clusters = by_cluster(which, &assign(points, which, &centers), centers.len());
        let shares = shares(&clusters, count);
        let members: Vec<Centroids> = clusters
            .par_iter()
            .zip(shares)
            .map(|(cluster, share)| lloyd(points, cluster, share, fine, seed))
            .collect();
        let mut book = Self::of(members, points.dim);
        for _ in 0..last {
            book = book.moved(points, which);
        }
        book
    }

    /// Centroids already in groups; each group's center is their mean.
    fn of(members: Vec<Centroids>, dim: usize) -> Self {
        let (mut rows, mut grouped, mut len) = (Vec::new(), Vec::new(), 0);
        for group in members.into_iter().filter(|group| group.len() > 0) {
            let mut mean = vec![0.0; dim];
            for row in group.rows().chunks_exact(dim.max(1)) {
                for (mean, value) in mean.iter_mut().zip(row) {
                    *mean += value / group.len() as f32;
                }
            }
            rows.extend(mean);
            let first = len;
            len += group.len();
            grouped.push((first, group));
        }
        Self {
            dim,
            groups: Centroids::new(rows, dim),
            members: grouped,
            len,
        }
    }

    /// One round of k-means over all centroids; those that no point is nearest to go.
    fn moved(&self, points: Points<'_>, which: &[u32]) -> Self {
        let clusters = by_cluster(which, &self.assign(points, which), self.len);
        let regroup = |(first, group): &(usize, Centroids)| {
            let lists = clusters.iter().skip(*first).take(group.len());
            let lists: Vec<Vec<u32>> = lists.filter(|list| !list.is_empty()).cloned().collect();
            Centroids::new(means(points, &lists, |_| 0), points.dim)
        };
        Self::of(self.members.iter().map(regroup).collect(), self.dim)
    }

    /// How many centroids there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The centroids, in their order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.members.iter().map(|(_, group)| group.rows())
    }

    /// The nearest centroid of each point of `which`, as far as the groups show it.
    pub(crate) fn assign(&self, points: Points<'_>, which: &[u32]) -> Vec<u32> {
        let mut nearest = vec![0; which.len()];
        nearest
            .par_chunks_mut(CHUNK)
            .zip(which.par_chunks(CHUNK))
            .for_each(|(nearest, which)| self.assign_chunk(points, which, nearest));
        nearest
    }

    fn assign_chunk(&self, points: Points<'_>, chunk: &[u32], nearest: &mut [u32]) {
        // For each group the places in `chunk` of the points that visit it.
        let mut visits: Vec<Vec<u32>> = vec![Vec::new(); self.groups.len()];
        let mut panel = Panel::new(self.dim);
        let mut place = 0;
        for which in chunk.chunks(WIDTH) {
            points.hold(which, &mut panel);
            let several = self.groups.several::<PROBES>(&panel);
            for groups in several.iter().take(which.len()) {
                for &(closeness, group) in groups {
                    if closeness > f32::NEG_INFINITY
                        && let Some(visits) = visits.get_mut(group as usize)
                    {
                        visits.push(place);
                    }
                }
                place += 1;
            }
        }
        let mut closest = vec![f32::NEG_INFINITY; nearest.len()];
        for ((first, group), visits) in self.members.iter().zip(visits) {
            for places in visits.chunks(WIDTH) {
                let mut which = [0; WIDTH];
                for (which, place) in which.iter_mut().zip(places) {
                    *which = chunk.get(*place as usize).copied().unwrap_or_default();
                }
                points.hold(which.get(..places.len()).unwrap_or(&which), &mut panel);
                for (place, (closeness, at)) in places.iter().zip(group.nearest(&panel)) {
                    let place = *place as usize;
                    if let (Some(best), Some(nearest)) =
                        (closest.get_mut(place), nearest.get_mut(place))
                        && closeness > *best
                    {
                        *best = closeness;
                        *nearest = *first as u32 + at;
                    }
                }
            }
        }
    }
}

/// How many of `count` centroids each cluster gets: at least one if it has points, otherwise in
/// proportion to them.
fn shares(clusters: &[Vec<u32>], count: usize) -> Vec<usize> {
    let total: usize = clusters.iter().map(Vec::len).sum();
    let mut before = 0;
    let place = |points: usize| (points as u128 * count as u128 / total.max(1) as u128) as usize;
    let share = |cluster: &Vec<u32>| {
        let start = place(before);
        before += cluster.len();
        (place(before) - start).max(usize::from(!cluster.is_empty()))
    };
    clusters.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::super::points::mix;
    use super::*;

    /// Unit vectors around 300 directions.
    fn vectors(count: usize, dim: usize) -> Vec<f16> {
        let value = |a: u64, b: u64| (mix(a ^ mix(b)) % 2001) as f32 / 1000.0 - 1.0;
        (0..count as u64)
            .flat_map(|i| {
                let row: Vec<f32> = (0..dim as u64)
                    .map(|d| value(i % 300, d) + 0.2 * value(i + 1000, d))
                    .collect();
                let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
                row.into_iter()
                    .map(move |x| f16::from_f32(x / norm))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn groups_find_nearly_always_the_nearest_centroid() {
        let values = vectors(6000, 16);
        let points = Points {
            dim: 16,
            values: &values,
        };
        let book = Codebook::learn(points, &points.all(), 600, 3);
        assert!(book.len() > 400 && book.len() <= 640, "{}", book.len());
        let flat = Centroids::new(book.rows().flatten().copied().collect(), 16);
        let (near, exact) = (
            book.assign(points, &points.all()),
            assign(points, &points.all(), &flat),
        );
        let same = near.iter().zip(&exact).filter(|(a, b)| a == b).count();
        assert!(same * 100 >= near.len() * 97, "{same} of {}", near.len());
    }

    #[test]
    fn few_points_make_few_centroids() {
        let values = vectors(5, 16);
        let points = Points {
            dim: 16,
            values: &values,
        };
        let book = Codebook::learn(points, &points.all(), 1024, 3);
        assert!((1..=5).contains(&book.len()));
        assert!(
            book.assign(points, &points.all())
                .iter()
                .all(|at| (*at as usize) < book.len())
        );
        let none = Points {
            dim: 16,
            values: &[],
        };
        assert_eq!(Codebook::learn(none, &[], 8, 3).len(), 0);
    }

    #[test]
    fn shares_add_up() {
        let clusters = [vec![0; 10], vec![], vec![0; 1], vec![0; 89]];
        assert_eq!(shares(&clusters, 50), [5, 0, 1, 45]);
    }
}
