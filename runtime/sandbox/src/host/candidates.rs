//! `candidates`: the documents behind a fusion's handles.

use std::sync::Arc;

use routir_core::{DocId, HostDocuments};

use super::content;
use super::desk::{HandOver, runtime, take_one};
use crate::bindings::candidates::Host;
use crate::bindings::types;
use crate::convert::Candidates;
use crate::guest::{Call, Phase, Refused, State};

impl Host for State {
    fn ids(&mut self, handles: Vec<u32>) -> wasmtime::Result<Vec<String>> {
        let candidates = candidates(&self.call, "candidates.ids")?;
        self.call.held = None;
        let mut room = HandOver::new(&self.call.account);
        let ids = handles.into_iter().map(|handle| {
            let id = document(&candidates, handle)?;
            match room.take(id.len() + 32) {
                Ok(()) => Ok(id.to_string()),
                Err(_) => Err(Refused(
                    "it asked for more document ids at once than 16 MiB, or than its tenant has \
                     memory for"
                        .to_owned(),
                )),
            }
        });
        let ids = ids.collect::<Result<_, Refused>>()?;
        room.leave(&mut self.call);
        Ok(ids)
    }

    async fn texts(
        &mut self,
        handles: Vec<u32>,
        max_bytes: u32,
    ) -> wasmtime::Result<Result<Vec<Option<String>>, types::Error>> {
        let candidates = candidates(&self.call, "candidates.texts")?;
        let ids = handles
            .into_iter()
            .map(|handle| document(&candidates, handle).cloned())
            .collect::<Result<_, Refused>>()?;
        let Some(collection) = self.call.profile.collection.clone() else {
            return Ok(Err(types::Error::Unknown(
                "the service's configuration names no `collection` to read texts from".to_owned(),
            )));
        };
        let documents = HostDocuments {
            collection,
            view: None,
            ids,
        };
        let desk = take_one(&mut self.call).and_then(|()| runtime(&mut self.call));
        Ok(match desk {
            Ok(desk) => {
                let mut room = HandOver::new(&desk.account);
                let texts = content::read(&desk, documents, max_bytes, &mut room).await;
                room.leave(&mut self.call);
                texts
            }
            Err(error) => Err(error),
        })
    }
}

fn candidates(call: &Call, function: &str) -> Result<Arc<Candidates>, Refused> {
    call.not_while_describing(function)?;
    match &call.phase {
        Phase::Fusing(candidates) => Ok(Arc::clone(candidates)),
        Phase::Describing | Phase::Serving => Err(Refused(format!(
            "it called `{function}`, which is there only while it fuses"
        ))),
    }
}

fn document(candidates: &Candidates, handle: u32) -> Result<&DocId, Refused> {
    candidates.doc(handle).ok_or_else(|| {
        Refused(format!(
            "it asked for the document of handle {handle}, which was never given out"
        ))
    })
}
