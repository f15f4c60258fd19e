//! K-means (Lloyd's algorithm) under the squared distance: deterministic, whatever the number of
//! threads.

use rayon::prelude::*;

use super::kernel::{Panel, WIDTH};
use super::points::{Points, mix, sample};

/// Centroids compared with a panel of points at once.
const BLOCK: usize = 64;

/// Centroids with what a comparison of distances needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Centroids {
    dim: usize,
    rows: Vec<f32>,
    /// Half the squared norm of each.
    halves: Vec<f32>,
}

impl Centroids {
    pub(crate) fn new(rows: Vec<f32>, dim: usize) -> Self {
        let half = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>() / 2.0;
        let halves = rows.chunks_exact(dim.max(1)).map(half).collect();
        Self { dim, rows, halves }
    }

    pub(crate) fn len(&self) -> usize {
        self.halves.len()
    }

    pub(crate) fn rows(&self) -> &[f32] {
        &self.rows
    }

    /// Calls `each` with every centroid, in order, and its closeness to the panel's points: the
    /// inner product less half the centroid's squared norm, largest for the nearest.
    fn compare(&self, panel: &Panel, mut each: impl FnMut(u32, &[f32])) {
        let width = panel.width();
        let mut products = [0.0; BLOCK * WIDTH];
        let blocks = self.rows.chunks(BLOCK * self.dim.max(1));
        let mut centroid = 0;
        for (rows, halves) in blocks.zip(self.halves.chunks(BLOCK)) {
            panel.products(rows, &mut products);
            for (closeness, half) in products.chunks_exact_mut(width).zip(halves) {
                for value in closeness.iter_mut() {
                    *value -= half;
                }
                each(centroid, closeness);
                centroid += 1;
            }
        }
    }

    /// The nearest centroid of each of the panel's points, with how close it is; of equals the
    /// first.
    pub(crate) fn nearest(&self, panel: &Panel) -> [(f32, u32); WIDTH] {
        let mut closest = [f32::NEG_INFINITY; WIDTH];
        let mut nearest = [0_u32; WIDTH];
        self.compare(panel, |centroid, closeness| {
            for ((best, at), value) in closest.iter_mut().zip(&mut nearest).zip(closeness) {
                let closer = *value > *best;
                *best = if closer { *value } else { *best };
                *at = if closer { centroid } else { *at };
            }
        });
        let mut both = [(f32::NEG_INFINITY, 0); WIDTH];
        for (both, pair) in both.iter_mut().zip(closest.into_iter().zip(nearest)) {
            *both = pair;
        }
        both
    }

    /// The `P` nearest centroids of each of the panel's points, nearest first; fewer when there are
    /// not that many, with the closeness of the missing ones at minus infinity.
    pub(crate) fn several<const P: usize>(&self, panel: &Panel) -> [[(f32, u32); P]; WIDTH] {
        let mut best = [[(f32::NEG_INFINITY, 0_u32); P]; WIDTH];
        self.compare(panel, |centroid, closeness| {
            for (best, value) in best.iter_mut().zip(closeness) {
                if best.last().is_some_and(|(last, _)| value > last) {
                    let mut moved = (*value, centroid);
                    for place in best.iter_mut() {
                        if moved.0 > place.0 {
                            std::mem::swap(place, &mut moved);
                        }
                    }
                }
            }
        });
        best
    }
}

/// The nearest centroid of each point of `which`.
pub(crate) fn assign(points: Points<'_>, which: &[u32], centroids: &Centroids) -> Vec<u32> {
    let mut nearest = vec![0; which.len()];
    nearest
        .par_chunks_mut(WIDTH)
        .zip(which.par_chunks(WIDTH))
        .for_each_init(
            || Panel::new(points.dim),
            |panel, (nearest, which)| {
                points.hold(which, panel);
                for (at, (_, centroid)) in nearest.iter_mut().zip(centroids.nearest(panel)) {
                    *at = centroid;
                }
            },
        );
    nearest
}

/// `members` by the cluster that each is assigned to, in their order.
pub(crate) fn by_cluster(members: &[u32], assigned: &[u32], clusters: usize) -> Vec<Vec<u32>> {
    let mut sizes = vec![0_usize; clusters];
    for cluster in assigned {
        if let Some(size) = sizes.get_mut(*cluster as usize) {
            *size += 1;
        }
    }
    let mut lists: Vec<Vec<u32>> = sizes.into_iter().map(Vec::with_capacity).collect();
    for (member, cluster) in members.iter().zip(assigned) {
        if let Some(list) = lists.get_mut(*cluster as usize) {
            list.push(*member);
        }
    }
    lists
}

/// The mean of each cluster's points; of an empty cluster what `empty` says.
pub(crate) fn means(
    points: Points<'_>,
    clusters: &[Vec<u32>],
    empty: impl Fn(usize) -> u32 + Sync,
) -> Vec<f32> {
    let mut rows = vec![0.0_f32; clusters.len() * points.dim];
    rows.par_chunks_mut(points.dim.max(1))
        .zip(clusters)
        .enumerate()
        .for_each(|(number, (mean, members))| {
            if members.is_empty() {
                add(mean, points.row(empty(number)));
                return;
            }
            for member in members {
                add(mean, points.row(*member));
            }
            let scale = 1.0 / members.len() as f32;
            for value in mean {
                *value *= scale;
            }
        });
    rows
}

fn add(sum: &mut [f32], row: &[half::f16]) {
    for (sum, value) in sum.iter_mut().zip(row) {
        *sum += value.to_f32();
    }
}

/// At most `count` centroids of the points of `which`: started at a spread sample of them, moved to
/// their clusters' means `rounds` times. A cluster that runs empty starts again at another point.
pub(crate) fn lloyd(
    points: Points<'_>,
    which: &[u32],
    count: usize,
    rounds: usize,
    seed: u64,
) -> Centroids {
    let start = sample(which, count, seed);
    let lists: Vec<Vec<u32>> = start.into_iter().map(|point| vec![point]).collect();
    let mut centroids = Centroids::new(means(points, &lists, |_| 0), points.dim);
    for round in 0..rounds {
        let clusters = by_cluster(which, &assign(points, which, &centroids), centroids.len());
        let again = |cluster: usize| {
            let place = mix(seed ^ mix((round as u64) << 32 | cluster as u64));
            let place = (place % which.len().max(1) as u64) as usize;
            which.get(place).copied().unwrap_or_default()
        };
        centroids = Centroids::new(means(points, &clusters, again), points.dim);
    }
    centroids
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    fn clustered(clusters: usize, each: usize) -> Vec<f16> {
        let noise = |seed: usize| (mix(seed as u64) % 1000) as f32 / 1e4;
        (0..clusters * each)
            .flat_map(|i| {
                let cluster = (i % clusters) as f32;
                [
                    cluster + noise(i),
                    -2.0 * cluster + noise(i + 1_000_000),
                    1.0,
                ]
            })
            .map(f16::from_f32)
            .collect()
    }

    #[test]
    fn finds_separate_clusters_and_the_same_ones_on_any_number_of_threads() {
        let values = clustered(8, 50);
        let points = Points {
            dim: 3,
            values: &values,
        };
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| lloyd(points, &points.all(), 16, 10, 1))
        };
        let centroids = run(1);
        assert_eq!(centroids.rows(), run(3).rows());
        for (point, at) in assign(points, &points.all(), &centroids)
            .into_iter()
            .enumerate()
        {
            let centroid = &centroids.rows()[at as usize * 3..][..3];
            assert!(
                (centroid[0] - (point % 8) as f32).abs() < 0.2,
                "{point} {centroid:?}"
            );
        }
    }

    #[test]
    fn the_several_nearest_come_in_order() {
        let rows: Vec<f32> = (0..10).map(|i| i as f32).collect();
        let centroids = Centroids::new(rows, 1);
        let mut panel = Panel::new(1);
        panel.hold(&[&[3.2_f32][..], &[8.9]]);
        let several = centroids.several::<3>(&panel);
        assert_eq!(several[0].map(|(_, at)| at), [3, 4, 2]);
        assert_eq!(several[1].map(|(_, at)| at), [9, 8, 7]);
        assert_eq!(centroids.nearest(&panel)[1].1, 9);
    }

    #[test]
    fn more_centroids_than_points_are_as_many_as_points() {
        let values = clustered(2, 1);
        let points = Points {
            dim: 3,
            values: &values,
        };
        assert_eq!(lloyd(points, &points.all(), 16, 3, 0).len(), 2);
        assert_eq!(lloyd(points, &[], 16, 3, 0).len(), 0);
    }
}
