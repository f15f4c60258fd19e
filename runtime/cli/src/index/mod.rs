//! `index`: builds what services search, from documents or from files of vectors.

mod args;
mod bm25;
mod duplicates;
mod faiss;
mod inputs;
mod late;
mod place;
mod sparse;
mod training;

pub(crate) use args::Index;
use args::Kind;

/// Builds the index that the command line asks for.
pub(crate) fn dispatch(index: &Index) -> anyhow::Result<()> {
    match &index.kind {
        Kind::Bm25(args) => bm25::run(args),
        Kind::Faiss(args) => faiss::run(args),
        Kind::Late(args) => late::run(args),
        Kind::Sparse(args) => sparse::run(args),
    }
}
