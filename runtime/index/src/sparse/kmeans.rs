//! Groups of documents that are alike, by spherical k-means over their heaviest terms.

use hashbrown::HashMap;

/// How many of a document's terms count for likeness: the heaviest.
const HEAVIEST: usize = 32;
/// How many terms a group's centre keeps.
const CENTRE: usize = 96;
/// Times that groups are made and their centres taken anew.
const ROUNDS: usize = 3;

/// A direction: terms with weights, of length 1, or without terms.
pub(crate) type Direction = Vec<(u32, f32)>;

/// The direction of the `most` heaviest terms.
fn direction(mut weights: Vec<(u32, f32)>, most: usize) -> Direction {
    if most < weights.len() {
        let heavier = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        weights.select_nth_unstable_by(most, heavier);
        weights.truncate(most);
    }
    weights.sort_unstable_by_key(|it| it.0);
    let length = weights
        .iter()
        .map(|it| f64::from(it.1) * f64::from(it.1))
        .sum::<f64>()
        .sqrt();
    for (_, weight) in &mut weights {
        *weight = (f64::from(*weight) / length) as f32;
    }
    weights
}

/// A document as it counts for likeness.
pub(crate) fn sketch(weights: impl Iterator<Item = (u32, f32)>) -> Direction {
    direction(weights.collect(), HEAVIEST)
}

/// The centres of groups, by term.
pub(crate) struct Centres {
    count: usize,
    /// Where the entries of a term start and end.
    terms: HashMap<u32, (u32, u32)>,
    /// Centres that have the term, and how much.
    entries: Vec<(u32, f32)>,
}

impl Centres {
    fn new(centres: &[Direction]) -> Self {
        let mut all: Vec<(u32, u32, f32)> = Vec::new();
        for (number, centre) in (0_u32..).zip(centres) {
            all.extend(centre.iter().map(|(term, weight)| (*term, number, *weight)));
        }
        all.sort_unstable_by_key(|it| (it.0, it.1));
        let mut terms = HashMap::new();
        for (at, (term, ..)) in (0_u32..).zip(&all) {
            terms.entry(*term).or_insert((at, at)).1 = at + 1;
        }
        Self {
            count: centres.len(),
            terms,
            entries: all
                .into_iter()
                .map(|(_, number, weight)| (number, weight))
                .collect(),
        }
    }

    /// The nearest centre; of equals the first. `scores` is room to work in.
    pub(crate) fn nearest(&self, document: &Direction, scores: &mut Vec<f32>) -> usize {
        scores.clear();
        scores.resize(self.count, 0.0);
        for (term, weight) in document {
            let Some((start, end)) = self.terms.get(term) else {
                continue;
            };
            let entries = self.entries.get(*start as usize..*end as usize);
            for (centre, value) in entries.unwrap_or_default() {
                if let Some(score) = scores.get_mut(*centre as usize) {
                    *score += weight * value;
                }
            }
        }
        let mut nearest = (0, 0.0);
        for (centre, score) in scores.iter().enumerate() {
            if *score > nearest.1 {
                nearest = (centre, *score);
            }
        }
        nearest.0
    }
}

/// Documents in at most `count` groups, none empty, like groups after each other; and their centres.
pub(crate) fn groups(
    documents: &[Direction],
    members: &[u32],
    count: usize,
) -> (Centres, Vec<Vec<u32>>) {
    let at = |member: &u32| documents.get(*member as usize);
    let seeds = (0..count).filter_map(|it| at(members.get(it * members.len() / count)?));
    let mut centres: Vec<Direction> = seeds.cloned().collect();
    let mut scores = Vec::new();
    let mut assign = |centres: &[Direction]| {
        let index = Centres::new(centres);
        let mut groups = vec![Vec::new(); centres.len()];
        for member in members {
            let nearest = at(member).map_or(0, |it| index.nearest(it, &mut scores));
            if let Some(group) = groups.get_mut(nearest) {
                group.push(*member);
            }
        }
        (index, groups)
    };
    for round in 1..=ROUNDS {
        let (_, groups) = assign(&centres);
        centres = groups
            .iter()
            .filter(|it| !it.is_empty())
            .map(|it| centre(documents, it))
            .collect();
        if round == ROUNDS {
            centres = chain(centres);
        }
    }
    let (mut index, mut groups) = assign(&centres);
    if groups.iter().any(Vec::is_empty) {
        let kept = centres
            .into_iter()
            .zip(groups)
            .filter(|it| !it.1.is_empty());
        (centres, groups) = kept.unzip();
        index = Centres::new(&centres);
    }
    (index, groups)
}

/// The direction of the sum of documents.
fn centre(documents: &[Direction], members: &[u32]) -> Direction {
    let mut sum: HashMap<u32, f32> = HashMap::new();
    for document in members
        .iter()
        .filter_map(|member| documents.get(*member as usize))
    {
        for (term, weight) in document {
            *sum.entry(*term).or_default() += weight;
        }
    }
    direction(sum.into_iter().collect(), CENTRE)
}

/// Directions in an order in which each is followed by the one of the rest that is most like it.
fn chain(mut rest: Vec<Direction>) -> Vec<Direction> {
    let mut chain: Vec<Direction> = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let next = chain
            .last()
            .map_or(0, |last| Centres::new(&rest).nearest(last, &mut Vec::new()));
        chain.push(rest.remove(next));
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_documents_are_in_one_group() {
        let documents: Vec<Direction> = (0..40_u32)
            .map(|it| sketch([(it % 4, 2.0), (100 + it, 0.5)].into_iter()))
            .collect();
        let members: Vec<u32> = (0..40).collect();
        let (_, groups) = groups(&documents, &members, 7);
        assert!(groups.len() >= 4);
        for group in groups {
            assert!(group.iter().all(|it| it % 4 == group[0] % 4), "{group:?}");
        }
    }

    #[test]
    fn documents_without_terms_are_in_a_group() {
        let documents = vec![Vec::new(); 10];
        let members: Vec<u32> = (0..10).collect();
        let (_, groups) = groups(&documents, &members, 3);
        assert_eq!(groups, [members]);
    }
}
