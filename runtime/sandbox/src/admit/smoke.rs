//! A small fusion, since some toolchains build a component without complaint whose export is
//! missing inside.

use std::sync::Arc;
use std::time::Instant;

use routir_core::{Hit, Params, Ranking, Result};
use wasmtime::component::ComponentExportIndex;

use super::Trial;
use crate::Manifest;
use crate::bindings::{RankedList, types};
use crate::calls::run;
use crate::convert::{Candidates, ParamTable, fused};
use crate::guest::{FuseArgs, Phase, malformed};

/// Two lists of three documents, two of them in both.
const LISTS: [[(&str, f64); 3]; 2] = [
    [("d1", 3.0), ("d2", 2.0), ("d3", 1.0)],
    [("d3", 0.9), ("d1", 0.5), ("d4", 0.1)],
];

/// Fuses a little, with the parameters' defaults. An error that the component declares is an
/// answer: it may need other parameters.
pub(super) async fn fuse(
    trial: &Trial<'_>,
    export: ComponentExportIndex,
    manifest: &Manifest,
) -> Result<String> {
    let params = ParamTable::new(manifest, &Params::default())?.merged(&Params::default())?;
    let rankings = LISTS.iter().map(|list| {
        let hits = list.iter().map(|(doc, score)| Hit::new(*doc, *score));
        Ranking::from_hits(hits.collect()).map(Arc::new)
    });
    let (candidates, columns) = Candidates::new(rankings.collect::<Result<_>>()?)?;
    let candidates = Arc::new(candidates);
    let lists = ["first", "second"].into_iter().zip(columns);
    let lists = lists.map(|(source, column)| RankedList {
        source: source.to_owned(),
        query: "an example".to_owned(),
        docs: column.docs,
        scores: column.scores,
    });
    let count = candidates.len() as u32;
    let args: FuseArgs = (Arc::from("an example"), lists.collect(), count, params);
    let job = trial.job(Phase::Fusing(Arc::clone(&candidates)));

    let started = Instant::now();
    let asked = run::<FuseArgs, std::result::Result<Vec<f64>, types::Error>>(
        trial.machine,
        &trial.code,
        None,
        job,
        export,
        args,
    );
    let (answer, _) = asked.await?;
    let ms = started.elapsed().as_secs_f64() * 1e3;
    match answer {
        Ok(scores) => {
            fused(&scores, &candidates, None)
                .map_err(|what| malformed(&trial.profile.identity, &what))?;
            Ok(format!("{count} documents of two lists in {ms:.1} ms"))
        }
        Err(error) => Ok(format!(
            "declined a small example: {}",
            crate::convert::said(text(&error))
        )),
    }
}

fn text(error: &types::Error) -> &str {
    match error {
        types::Error::Invalid(text)
        | types::Error::Unknown(text)
        | types::Error::Exhausted(text)
        | types::Error::Failed(text) => text,
    }
}
