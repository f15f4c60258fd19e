//! In which order documents lie: like ones together, so that what a block can reach at most is little
//! more than what its documents reach.
//!
//! Groups are split again and again down to a fraction of a block (k-means, top down). Of a corpus that
//! is too large for that, a sample is split, each document goes to its nearest group, and each group
//! is then split by itself. Recursive graph bisection (Dhulipala et al., 2016) gives somewhat better
//! orders, but wants the whole corpus in memory, and many passes over it.

use rayon::prelude::*;

use super::kmeans::{Centres, Direction, groups, sketch};
use super::spill::Spill;

/// How many documents are split no further.
const LEAF: usize = 32;
/// How many documents are split at once, at most.
const AT_ONCE: usize = 1 << 16;
/// In how many groups at once, at most.
const WAYS: usize = 16;
/// How deep splits go; documents that are all alike are never apart.
const DEPTH: usize = 16;
/// How many documents of a sample stand for one group.
const SAMPLES: usize = 64;

/// The documents' numbers as they came, in the order in which they are to lie. The same on any
/// number of threads. `progress` is told how many documents have their place.
pub(crate) fn order(spill: &Spill, progress: &mut dyn FnMut(u64)) -> Vec<u32> {
    let documents = spill.len();
    if documents <= AT_ONCE {
        let sketches = sketches(spill, &(0..documents as u32).collect::<Vec<_>>());
        let order = arrange(&sketches, (0..documents as u32).collect(), DEPTH);
        progress(documents as u64);
        return order;
    }
    let sample: Vec<u32> = (0..AT_ONCE)
        .map(|it| (it as u64 * documents as u64 / AT_ONCE as u64) as u32)
        .collect();
    let sample = sketches(spill, &sample);
    let mut leaves = 0;
    let tree = Tree::grow(
        &sample,
        &(0..AT_ONCE as u32).collect::<Vec<_>>(),
        DEPTH,
        &mut leaves,
    );
    drop(sample);
    let place = |document: u32| {
        let sketch = sketch(spill.weights(document));
        (tree.leaf(&sketch, &mut Vec::new()), document)
    };
    let mut placed: Vec<(u32, u32)> = (0..documents as u32).into_par_iter().map(place).collect();
    placed.par_sort_unstable();
    let mut order = Vec::with_capacity(documents);
    let leaves: Vec<&[(u32, u32)]> = placed
        .chunk_by(|a, b| a.0 == b.0)
        .flat_map(|leaf| leaf.chunks(AT_ONCE))
        .collect();
    for wave in leaves.chunks(4 * rayon::current_num_threads()) {
        let arranged: Vec<Vec<u32>> = wave
            .par_iter()
            .map(|leaf| arrange_leaf(spill, leaf))
            .collect();
        order.extend(arranged.into_iter().flatten());
        progress(order.len() as u64);
    }
    order
}

fn arrange_leaf(spill: &Spill, leaf: &[(u32, u32)]) -> Vec<u32> {
    let numbers: Vec<u32> = leaf.iter().map(|it| it.1).collect();
    let order = arrange(
        &sketches(spill, &numbers),
        (0..numbers.len() as u32).collect(),
        DEPTH,
    );
    order
        .into_iter()
        .filter_map(|at| numbers.get(at as usize).copied())
        .collect()
}

fn sketches(spill: &Spill, documents: &[u32]) -> Vec<Direction> {
    documents
        .par_iter()
        .map(|document| sketch(spill.weights(*document)))
        .collect()
}

/// Into how many groups of about `size` some documents are split next.
fn ways(documents: usize, size: usize) -> usize {
    (documents / size).clamp(2, WAYS)
}

/// `members` of the documents, in order.
fn arrange(documents: &[Direction], members: Vec<u32>, depth: usize) -> Vec<u32> {
    if members.len() <= LEAF || depth == 0 {
        return members;
    }
    let (_, groups) = groups(documents, &members, ways(members.len(), LEAF));
    if groups.len() < 2 {
        return members;
    }
    let arranged = groups
        .into_par_iter()
        .map(|group| arrange(documents, group, depth - 1));
    arranged.collect::<Vec<_>>().concat()
}

/// Splits, and splits of these.
enum Tree {
    Leaf(u32),
    Split(Centres, Vec<Tree>),
}

impl Tree {
    fn grow(documents: &[Direction], members: &[u32], depth: usize, leaves: &mut u32) -> Self {
        if members.len() > SAMPLES && depth > 0 {
            let (centres, groups) = groups(documents, members, ways(members.len(), SAMPLES));
            if groups.len() > 1 {
                let grow = |group: Vec<u32>| Self::grow(documents, &group, depth - 1, leaves);
                let children = groups.into_iter().map(grow).collect();
                return Self::Split(centres, children);
            }
        }
        *leaves += 1;
        Self::Leaf(*leaves)
    }

    /// The leaf that a document goes to; leaves are numbered in their order.
    fn leaf(&self, document: &Direction, scores: &mut Vec<f32>) -> u32 {
        match self {
            Self::Leaf(number) => *number,
            Self::Split(centres, children) => {
                let nearest = centres.nearest(document, scores);
                children
                    .get(nearest)
                    .map_or(0, |child| child.leaf(document, scores))
            }
        }
    }
}
