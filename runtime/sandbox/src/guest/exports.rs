//! What a component exports, and so which roles it plays.

use std::sync::Arc;

use routir_core::Role;
use wasmtime::Engine;
use wasmtime::component::types::{Component as ComponentType, ComponentInstance, ComponentItem};
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Lower,
};

use super::State;
use crate::bindings::{self, types};
use crate::convert::Crossing;

/// Arguments of `fuse`: query, lists, how many documents, parameters.
pub(crate) type FuseArgs = (Arc<str>, Vec<bindings::RankedList>, u32, Crossing);
/// Arguments of `decompose`: query, limit, parameters.
pub(crate) type DecomposeArgs = (Arc<str>, Option<u32>, Crossing);
/// Arguments of `search`: query, limit, parameters.
pub(crate) type SearchArgs = (Arc<str>, u32, Crossing);
/// Arguments of `score`: query, texts, parameters.
pub(crate) type ScoreArgs = (Arc<str>, Vec<Arc<str>>, Crossing);

/// The interface that every component exports.
const MANIFEST: &str = "routir:extension/manifest@0.1.0";

/// Where a component's functions are.
#[derive(Debug)]
pub(crate) struct Exports {
    /// `manifest.describe`.
    pub(crate) describe: ComponentExportIndex,
    /// `fuse`.
    pub(crate) fuse: Option<ComponentExportIndex>,
    /// `decompose`.
    pub(crate) decompose: Option<ComponentExportIndex>,
    /// `search`.
    pub(crate) search: Option<ComponentExportIndex>,
    /// `score`.
    pub(crate) score: Option<ComponentExportIndex>,
}

impl Exports {
    /// Finds the functions and checks their types.
    ///
    /// # Errors
    /// What is missing or of another type, one sentence each.
    pub(crate) fn find(pre: &InstancePre<State>) -> Result<Self, Vec<String>> {
        let finder = Finder {
            engine: pre.engine(),
            component: pre.component(),
            ty: pre.component().component_type(),
            pre,
        };
        let describe = finder.describe();
        let mut problems = Vec::new();
        let mut keep = |found: Result<Option<ComponentExportIndex>, String>| {
            found.unwrap_or_else(|problem| {
                problems.push(problem);
                None
            })
        };
        let fuse = keep(finder.role::<FuseArgs, Vec<f64>>("fuse"));
        let decompose = keep(finder.role::<DecomposeArgs, Vec<String>>("decompose"));
        let search = keep(finder.role::<SearchArgs, types::Hits>("search"));
        let score = keep(finder.role::<ScoreArgs, Vec<f64>>("score"));
        let none = [&fuse, &decompose, &search, &score]
            .iter()
            .all(|role| role.is_none());
        let mistyped = !problems.is_empty();
        if none && !mistyped {
            problems.push(format!(
                "it plays no role: it exports none of the functions `fuse`, `decompose`, `search` \
                 and `score`; it exports {}",
                finder.exported()
            ));
        }
        let describe = describe.unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        match describe {
            Some(describe) if problems.is_empty() => Ok(Self {
                describe,
                fuse,
                decompose,
                search,
                score,
            }),
            _ => Err(problems),
        }
    }

    /// The roles that the component plays.
    pub(crate) fn roles(&self) -> Vec<Role> {
        [
            (&self.search, Role::Search),
            (&self.score, Role::Score),
            (&self.fuse, Role::Fuse),
            (&self.decompose, Role::DecomposeQuery),
        ]
        .into_iter()
        .filter_map(|(found, role)| found.is_some().then_some(role))
        .collect()
    }
}

struct Finder<'a> {
    engine: &'a Engine,
    component: &'a Component,
    ty: ComponentType,
    pre: &'a InstancePre<State>,
}

impl Finder<'_> {
    fn role<P, R>(&self, name: &str) -> Result<Option<ComponentExportIndex>, String>
    where
        P: ComponentNamedList + Lower,
        Result<R, types::Error>: Lift,
    {
        match self.ty.get_export(self.engine, name) {
            None => Ok(None),
            Some(export) => {
                self.check::<P, (Result<R, types::Error>,)>(name, &export.ty)?;
                Ok(self.component.get_export_index(None, name))
            }
        }
    }

    fn describe(&self) -> Result<Option<ComponentExportIndex>, String> {
        let missing = || {
            format!(
                "it does not export the interface `{MANIFEST}` with the function `describe`; it \
                 exports {}",
                self.exported()
            )
        };
        let export = self.ty.get_export(self.engine, MANIFEST);
        let Some(ComponentItem::ComponentInstance(manifest)) = export.map(|export| export.ty)
        else {
            return Err(missing());
        };
        let manifest: ComponentInstance = manifest;
        let describe = manifest.get_export(self.engine, "describe");
        let describe = describe.ok_or_else(missing)?;
        self.check::<(), (bindings::manifest::Info,)>("describe", &describe.ty)?;
        let instance = self.component.get_export_index(None, MANIFEST);
        let index = instance.and_then(|at| self.component.get_export_index(Some(&at), "describe"));
        index.map(Some).ok_or_else(missing)
    }

    fn check<P, R>(&self, name: &str, item: &ComponentItem) -> Result<(), String>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let ComponentItem::ComponentFunc(function) = item else {
            return Err(format!("its export `{name}` is not a function"));
        };
        function
            .typecheck::<P, R>(&self.pre.instance_type())
            .map_err(|error| {
                format!(
                    "its function `{name}` has another type than in routir:extension@0.1.0: \
                     {error:#}"
                )
            })
    }

    fn exported(&self) -> String {
        let names: Vec<_> = self
            .ty
            .exports(self.engine)
            .take(10)
            .map(|(name, _)| format!("`{}`", crate::convert::said(&routir_core::shorten(name))))
            .collect();
        if names.is_empty() {
            "nothing".to_owned()
        } else {
            names.join(", ")
        }
    }
}
