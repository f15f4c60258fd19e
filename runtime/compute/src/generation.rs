//! Graphs that were exported to generate text, run for one step from nothing.
//!
//! Such graphs may also want the keys and values of the tokens before (`past_key_values.*`) and
//! switches for them. From nothing there are none before: the tensors are fed with length 0.

use routir_core::{Error, Result};

use crate::{Data, Feed, Graph};

const PAST: &str = "past_key_values";
/// Of a decoder that holds both branches: whether there are tokens before.
const USE_CACHE: &str = "use_cache_branch";
/// For how many last tokens scores are wanted; 0 is all.
const KEEP: &[&str] = &["num_logits_to_keep", "logits_to_keep"];

/// The inputs of a graph that continue what was generated before.
#[derive(Debug)]
pub(crate) struct Past {
    /// Name, heads and width of each.
    caches: Vec<(String, usize, usize)>,
    switch: bool,
    keep: Option<&'static str>,
}

impl Past {
    /// Of a graph; most have none.
    pub(crate) fn of(graph: &Graph) -> Result<Self> {
        let caches = graph
            .inputs()
            .iter()
            .filter(|port| port.name().starts_with(PAST));
        let caches = caches.map(|port| match port.dims() {
            &[_, Some(heads), _, Some(width)] => Ok((port.name().to_owned(), heads, width)),
            _ => Err(Error::invalid(format!(
                "the model `{}` does not say how large its input `{}` is; export it without a cache, \
                 as with `optimum-cli export onnx --task text-generation`",
                graph.path().display(),
                port.name()
            ))),
        });
        Ok(Self {
            caches: caches.collect::<Result<_>>()?,
            switch: graph.input(USE_CACHE).is_some(),
            keep: KEEP
                .iter()
                .find(|name| graph.input(name).is_some())
                .copied(),
        })
    }

    /// Whether the graph can leave out the scores of all but the last token.
    pub(crate) fn keeps_last(&self) -> bool {
        self.keep.is_some()
    }

    /// The names of these inputs.
    pub(crate) fn names(&self) -> Vec<&str> {
        let names = self.caches.iter().map(|(name, ..)| name.as_str());
        names
            .chain(self.switch.then_some(USE_CACHE))
            .chain(self.keep)
            .collect()
    }

    /// The shapes of the caches for so many texts, for [`Past::feeds`].
    pub(crate) fn shapes(&self, texts: usize) -> Vec<[usize; 4]> {
        let shape = |&(_, heads, width): &(String, usize, usize)| [texts, heads, 0, width];
        self.caches.iter().map(shape).collect()
    }

    /// What to feed when nothing was generated before, and scores are wanted for the last token.
    pub(crate) fn feeds<'a>(&'a self, shapes: &'a [[usize; 4]]) -> Vec<Feed<'a>> {
        let caches = self
            .caches
            .iter()
            .zip(shapes)
            .map(|((name, ..), shape)| Feed {
                name,
                shape,
                data: Data::Floats(&[]),
            });
        let switch = self.switch.then_some(Feed {
            name: USE_CACHE,
            shape: &[1],
            data: Data::Bools(&[false]),
        });
        let keep = self.keep.map(|name| Feed {
            name,
            shape: &[],
            data: Data::Ints(&[1]),
        });
        caches.chain(switch).chain(keep).collect()
    }
}
