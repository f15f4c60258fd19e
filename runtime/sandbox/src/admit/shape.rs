//! How large a component is when all that it holds is put in its place.
//!
//! A component can hold another one twice, and that one a third twice: a kilobyte then describes a
//! million instances, all of which a compiler lays out. So this is counted before anything compiles.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentTypeRef, Instance, Parser, Payload,
};

/// The most definitions, everything put in its place. The largest of the known language runtimes
/// have a few thousand.
const MAX_DEFINITIONS: u64 = 100_000;
/// How deep components may hold components. Toolchains nest two or three.
const MAX_DEPTH: usize = 16;

/// What a component comes to when it is instantiated once.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Weight {
    /// Core instances.
    instances: u64,
    /// Definitions of all kinds.
    definitions: u64,
}

impl Weight {
    fn add(&mut self, other: Self) {
        self.instances = self.instances.saturating_add(other.instances);
        self.definitions = self.definitions.saturating_add(other.definitions);
    }
}

/// One component that is being read: its own weight so far, and those of the components that it can
/// name.
#[derive(Default)]
struct Frame {
    own: Weight,
    components: Vec<Weight>,
}

/// The component's size, against `instances`. What is not well-formed is left to the compiler, which
/// says it better.
pub(super) fn check(bytes: &[u8], instances: u32) -> Result<String, String> {
    let weight = match weigh(bytes) {
        Ok(weight) => weight,
        Err(Stop::Malformed) => return Ok("not well-formed".to_owned()),
        Err(Stop::Refused(why)) => return Err(why),
    };
    let (made, definitions) = (weight.instances, weight.definitions);
    if made > u64::from(instances) {
        return Err(format!(
            "it is made of {made} core instances; the most is {instances} (`instances`)"
        ));
    }
    if definitions > MAX_DEFINITIONS {
        return Err(format!(
            "it comes to {definitions} definitions when the components that it holds are put in \
             their places; the most is {MAX_DEFINITIONS}"
        ));
    }
    Ok(format!("{made} core instances of at most {instances}"))
}

enum Stop {
    Malformed,
    Refused(String),
}

impl From<wasmparser::BinaryReaderError> for Stop {
    fn from(_: wasmparser::BinaryReaderError) -> Self {
        Self::Malformed
    }
}

fn weigh(bytes: &[u8]) -> Result<Weight, Stop> {
    let mut frames: Vec<Frame> = Vec::new();
    // Whether each thing that is being read is a core module, whose sections are not looked at.
    let mut modules = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        if modules > 0 {
            match payload {
                Payload::ModuleSection { .. } => modules += 1,
                Payload::End(_) => modules -= 1,
                _ => {}
            }
            continue;
        }
        match payload {
            Payload::Version { encoding, .. } => {
                if encoding != wasmparser::Encoding::Component {
                    return Err(Stop::Malformed);
                }
                if frames.len() >= MAX_DEPTH {
                    return Err(Stop::Refused(format!(
                        "components are nested more than {MAX_DEPTH} deep"
                    )));
                }
                frames.push(Frame::default());
            }
            Payload::ModuleSection { .. } => {
                count(&mut frames, 1)?;
                modules = 1;
            }
            Payload::End(_) => {
                let done = frames.pop().ok_or(Stop::Malformed)?;
                match frames.last_mut() {
                    None => return Ok(done.own),
                    Some(holder) => holder.components.push(done.own),
                }
            }
            other => section(other, &mut frames)?,
        }
    }
    Err(Stop::Malformed)
}

fn section(payload: Payload<'_>, frames: &mut [Frame]) -> Result<(), Stop> {
    match payload {
        Payload::InstanceSection(section) => {
            for instance in section {
                let made = matches!(instance?, Instance::Instantiate { .. });
                count(frames, 1)?;
                let frame = frames.last_mut().ok_or(Stop::Malformed)?;
                frame.own.add(Weight {
                    instances: u64::from(made),
                    definitions: 0,
                });
            }
        }
        Payload::ComponentInstanceSection(section) => {
            for instance in section {
                count(frames, 1)?;
                match instance? {
                    ComponentInstance::Instantiate {
                        component_index,
                        args,
                    } => {
                        args.iter().try_for_each(|arg| no_component(arg.kind))?;
                        let frame = frames.last_mut().ok_or(Stop::Malformed)?;
                        let held = frame.components.get(component_index as usize);
                        let held = *held.ok_or(Stop::Malformed)?;
                        frame.own.add(held);
                    }
                    ComponentInstance::FromExports(exports) => {
                        exports.iter().try_for_each(|e| no_component(e.kind))?;
                    }
                }
            }
        }
        Payload::ComponentAliasSection(section) => {
            for alias in section {
                count(frames, 1)?;
                match alias? {
                    ComponentAlias::InstanceExport { kind, .. } => no_component(kind)?,
                    ComponentAlias::Outer {
                        kind: ComponentOuterAliasKind::Component,
                        count,
                        index,
                    } => outer(frames, count as usize, index as usize)?,
                    _ => {}
                }
            }
        }
        Payload::ComponentImportSection(section) => {
            for import in section {
                count(frames, 1)?;
                if matches!(import?.ty, ComponentTypeRef::Component(_)) {
                    no_component(ComponentExternalKind::Component)?;
                }
            }
        }
        Payload::ComponentExportSection(section) => {
            for export in section {
                count(frames, 1)?;
                no_component(export?.kind)?;
            }
        }
        Payload::ComponentTypeSection(section) => count(frames, section.count())?,
        Payload::CoreTypeSection(section) => count(frames, section.count())?,
        Payload::ComponentCanonicalSection(section) => count(frames, section.count())?,
        _ => {}
    }
    Ok(())
}

fn count(frames: &mut [Frame], definitions: u32) -> Result<(), Stop> {
    let frame = frames.last_mut().ok_or(Stop::Malformed)?;
    frame.own.add(Weight {
        instances: 0,
        definitions: definitions.into(),
    });
    Ok(())
}

/// A component of one of those around this one, under a name of its own here.
fn outer(frames: &mut [Frame], up: usize, index: usize) -> Result<(), Stop> {
    let place = frames.len().checked_sub(up + 1).ok_or(Stop::Malformed)?;
    let holder = frames.get(place).ok_or(Stop::Malformed)?;
    let held = *holder.components.get(index).ok_or(Stop::Malformed)?;
    let frame = frames.last_mut().ok_or(Stop::Malformed)?;
    frame.components.push(held);
    Ok(())
}

/// What a component is handed cannot be weighed where it is written.
fn no_component(kind: ComponentExternalKind) -> Result<(), Stop> {
    match kind {
        ComponentExternalKind::Component => Err(Stop::Refused(
            "components are imported, exported or handed on inside it, which is not taken; link \
             them into one (`wasm-tools compose` or `wac plug` do)"
                .to_owned(),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    fn verdict(text: &str) -> Result<String, String> {
        check(&wat::parse_str(text).unwrap(), 64)
    }

    fn doubling(times: usize) -> String {
        let mut text =
            "(component (component $c0 (core module $m) (core instance (instantiate $m)))"
                .to_owned();
        for i in 1..=times {
            write!(
                text,
                "(component $c{i} (alias outer 1 $c{} (component $p))
                   (instance (instantiate $p)) (instance (instantiate $p)))",
                i - 1
            )
            .unwrap();
        }
        write!(text, "(instance (instantiate $c{times})))").unwrap();
        text
    }

    #[test]
    fn what_is_held_counts_as_often_as_it_is_instantiated() {
        assert_eq!(
            verdict(&doubling(6)).unwrap(),
            "64 core instances of at most 64"
        );
        let error = verdict(&doubling(7)).unwrap_err();
        assert!(
            error.starts_with("it is made of 128 core instances"),
            "{error}"
        );
        assert!(
            verdict(&doubling(40))
                .unwrap_err()
                .contains("1099511627776 core instances")
        );
        assert!(verdict(&doubling(200)).is_err(), "and no overflow");
    }

    #[test]
    fn empty_components_count_too() {
        let empty = doubling(40).replace("(core instance (instantiate $m))", "");
        let error = verdict(&empty).unwrap_err();
        assert!(error.contains("definitions"), "{error}");
    }

    #[test]
    fn what_is_not_instantiated_does_not_count() {
        let text = "(component (component (core module $m) (core instance (instantiate $m))))";
        assert_eq!(verdict(text).unwrap(), "0 core instances of at most 64");
    }

    #[test]
    fn components_are_not_handed_around() {
        for text in [
            "(component (import \"c\" (component)))",
            "(component (component $c) (export \"c\" (component $c)))",
            "(component (component $c) (component $d (import \"x\" (component)))
               (instance (instantiate $d (with \"x\" (component $c)))))",
            "(component (import \"i\" (instance $i (export \"c\" (component))))
               (alias export $i \"c\" (component)))",
        ] {
            let error = verdict(text).unwrap_err();
            assert!(error.contains("handed on"), "{error}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let text = "(component ".repeat(40) + &")".repeat(40);
        assert!(verdict(&text).unwrap_err().contains("nested"));
    }
}
