//! A plan for people: as a tree for a terminal, as a Mermaid flowchart for a page.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::graph::{Node, NodeId, NodeKind, Plan};

/// The plan as a tree, the answer's stage first, each stage above what it reads. A stage that
/// several others read is drawn once and referred to by its number after that.
///
/// `note` may add something to a stage's line, such as how long it took.
#[must_use]
pub fn text(plan: &Plan, note: impl Fn(NodeId) -> Option<String>) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", plan.canonical);
    if let Some(collection) = &plan.collection {
        let _ = writeln!(out, "collection {collection}");
    }
    let mut drawn = BTreeSet::new();
    // Each entry: the node, the lead of its own line, the lead of its inputs' lines, its part.
    let mut open = vec![(plan.root, String::new(), String::new(), "")];
    while let Some((id, lead, below, part)) = open.pop() {
        let node = plan.node(id);
        let _ = write!(out, "{lead}{part}#{} {}", id.index(), describe(node));
        if !drawn.insert(id) {
            out.push_str(" (as above)\n");
            continue;
        }
        if let Some(note) = note(id) {
            let _ = write!(out, "  [{note}]");
        }
        out.push('\n');
        let inputs = parts(node);
        let last = inputs.len().saturating_sub(1);
        for (place, (input, part)) in inputs.into_iter().enumerate().rev() {
            let (branch, rest) = if place == last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            open.push((
                input,
                format!("{below}{branch}"),
                format!("{below}{rest}"),
                part,
            ));
        }
    }
    out
}

/// The plan as a [Mermaid](https://mermaid.js.org/syntax/flowchart.html) flowchart, documents
/// flowing from top to bottom; a dotted arrow carries sub-queries.
#[must_use]
pub fn mermaid(plan: &Plan) -> String {
    let mut out = String::from("flowchart TD\n  query([query])\n  answer([answer])\n");
    for (id, node) in plan.iter() {
        let _ = writeln!(
            out,
            "  n{}[\"{}\"]",
            id.index(),
            describe(node).replace('"', "#quot;")
        );
    }
    for (id, node) in plan.iter() {
        let to = id.index();
        match &node.kind {
            NodeKind::Search | NodeKind::Expand => {
                let _ = writeln!(out, "  query --> n{to}");
            }
            NodeKind::Rerank { input, .. } => {
                let _ = writeln!(out, "  n{} --> n{to}", input.node.index());
            }
            NodeKind::Cut { input } => {
                let _ = writeln!(out, "  n{} --> n{to}", input.index());
            }
            NodeKind::Fuse {
                branches, expander, ..
            } => {
                for branch in branches {
                    let _ = writeln!(out, "  n{} --> n{to}", branch.index());
                }
                if let Some(expander) = expander {
                    let _ = writeln!(out, "  n{} -. sub-queries .-> n{to}", expander.index());
                }
            }
        }
    }
    let _ = writeln!(out, "  n{} --> answer", plan.root.index());
    out
}

fn parts(node: &Node) -> Vec<(NodeId, &'static str)> {
    match &node.kind {
        NodeKind::Fuse {
            branches,
            expander: Some(expander),
            ..
        } => {
            let branches = branches.iter().map(|id| (*id, "for each sub-query "));
            std::iter::once((*expander, "sub-queries from "))
                .chain(branches)
                .collect()
        }
        _ => node.inputs().into_iter().map(|id| (id, "")).collect(),
    }
}

fn describe(node: &Node) -> String {
    let mut line = match &node.kind {
        NodeKind::Search => format!("search {}", node.service),
        NodeKind::Rerank {
            view: Some(view), ..
        } => format!("rerank {} on view {view}", node.service),
        NodeKind::Rerank { view: None, .. } => format!("rerank {}", node.service),
        NodeKind::Expand => format!("expand {}", node.service),
        NodeKind::Fuse { .. } => format!("fuse {}", node.service),
        NodeKind::Cut { .. } => format!("cut {}", node.service),
    };
    if node.stage != node.service {
        let _ = write!(line, " as {}", node.stage);
    }
    if let Some(limit) = node.limit {
        let _ = write!(line, " %{limit}");
    }
    if !node.params.is_empty() {
        let arguments: Vec<_> = node
            .params
            .as_map()
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let _ = write!(line, " ({})", arguments.join(", "));
    }
    line
}
