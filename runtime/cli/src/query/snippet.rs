//! The piece of a document that says most about a query, set in lines.

use unicode_width::UnicodeWidthStr;

/// Words of a query with fewer letters say little; they count only when there are no longer ones.
const SHORT: usize = 4;

/// The words of a query that are looked for in documents, in lower case.
pub(super) struct Words(Vec<String>);

/// A line: its words, and whether the query has each.
type Line<'a> = Vec<(&'a str, bool)>;

/// `text` as one line that a terminal shows and never obeys: control characters become spaces.
pub(super) fn plain(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Words {
    /// The words of `query`.
    pub(super) fn of(query: &str) -> Self {
        let words = query
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty());
        let mut words: Vec<String> = words.map(str::to_lowercase).collect();
        words.sort_unstable();
        words.dedup();
        if words.iter().any(|word| word.chars().count() >= SHORT) {
            words.retain(|word| word.chars().count() >= SHORT);
        }
        Self(words)
    }

    /// Which of them `word` is a form of: the same but for the last two letters.
    fn find(&self, word: &str) -> Option<usize> {
        let word = word
            .trim_matches(|c: char| !c.is_alphanumeric())
            .to_lowercase();
        let letters = word.chars().count();
        self.0.iter().position(|wanted| {
            let least = wanted.chars().count().saturating_sub(2).max(SHORT);
            let same = word
                .chars()
                .zip(wanted.chars())
                .take_while(|(a, b)| a == b)
                .count();
            word == *wanted || (same >= least && letters <= same + 3)
        })
    }

    /// The `count` lines of `text`, each at most `width` columns, that hold the most of them.
    pub(super) fn snippet<'t>(&self, text: &'t str, width: usize, count: usize) -> Vec<Line<'t>> {
        let space = |c: char| c.is_whitespace() || c.is_control();
        let words = text.split(space).filter(|word| !word.is_empty());
        let mut lines: Vec<Line<'t>> = Vec::new();
        let mut room = 0;
        for word in words {
            let needs = word.width();
            match lines.last_mut() {
                Some(line) if needs < room => line.push((word, self.find(word).is_some())),
                _ => {
                    lines.push(vec![(word, self.find(word).is_some())]);
                    room = width + 1;
                }
            }
            room = room.saturating_sub(needs + 1);
        }
        let best = (0..lines.len().saturating_sub(count.saturating_sub(1)).max(1))
            .max_by_key(|start| {
                let window = lines.iter().skip(*start).take(count).flatten();
                let mut found: Vec<_> = window.filter_map(|(word, _)| self.find(word)).collect();
                let all = found.len();
                found.sort_unstable();
                found.dedup();
                (found.len(), all, std::cmp::Reverse(*start))
            })
            .unwrap_or(0);
        lines.into_iter().skip(best).take(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(query: &str, text: &str, width: usize) -> Vec<String> {
        let word = |(word, found): &(&str, bool)| {
            if *found {
                format!("*{word}*")
            } else {
                (*word).to_owned()
            }
        };
        let lines = Words::of(query).snippet(text, width, 2);
        lines
            .iter()
            .map(|line| line.iter().map(word).collect::<Vec<_>>().join(" "))
            .collect()
    }

    #[test]
    fn the_lines_with_most_of_the_query_are_shown_and_its_words_marked() {
        let text = "Nothing of interest stands here. Honeybees dance. They tell others of food, \
                    and the others fly there.";
        assert_eq!(
            shown("how do honeybees tell others?", text, 34),
            [
                "*Honeybees* dance. They *tell* *others*",
                "of food, and the *others* fly there."
            ]
        );
    }

    #[test]
    fn nothing_found_shows_the_beginning_and_no_line_is_too_wide() {
        let text = "one two three four five six seven eight nine ten";
        assert_eq!(shown("zebra", text, 13), ["one two three", "four five six"]);
        for line in Words::of("x").snippet("日本語 テキスト です longerthanthewidth a", 8, 9)
        {
            let width: usize =
                line.iter().map(|(word, _)| word.width()).sum::<usize>() + line.len() - 1;
            assert!(width <= 8 || line.len() == 1, "{line:?}");
        }
        assert!(Words::of("x").snippet("", 10, 2).is_empty());
    }

    #[test]
    fn what_a_terminal_would_obey_is_gone() {
        assert_eq!(plain("a\u{1b}[31mred\r\n b"), "a [31mred b");
        let lines = Words::of("red").snippet("a\u{1b}[31mred", 80, 2);
        assert!(
            lines
                .iter()
                .flatten()
                .all(|(word, _)| !word.contains('\u{1b}'))
        );
    }
}
