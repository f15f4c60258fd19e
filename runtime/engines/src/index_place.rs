//! Where the vectors of an index lie: on the processor, on a device, or on several.

use std::sync::Arc;

use routir_core::{Error, Health, Load, Result};
use routir_device::{Device, DeviceChoice, Placement};

use crate::build::{BuildEnv, EngineSpec};
use crate::devices::{Opened, Placed, Wish};
use crate::models::ModelPlace;
use crate::options::Options;

/// The key of its own that an index has.
const KEY: &str = "index_device";
/// All GPUs.
const ALL: &str = "cuda:all";

/// What a configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum On {
    One(DeviceChoice),
    Several(Vec<usize>),
    All,
}

/// Where vectors lie, as `index_device` or, without that, `device` says.
#[derive(Clone, Debug)]
pub(crate) struct IndexPlace {
    key: &'static str,
    on: On,
}

/// An index that was opened, and the devices that hold parts of it.
pub(crate) type Held<T> = (T, Vec<Arc<Device>>);

/// What was opened, and what it needs from now on.
pub(crate) struct OpenedIndex<T> {
    pub(crate) value: T,
    pub(crate) health: Vec<Arc<dyn Health>>,
    /// The devices that it is on.
    pub(crate) devices: Vec<Arc<Device>>,
}

impl<T> OpenedIndex<T> {
    /// The device that all of it is on, if it is on one alone.
    pub(crate) fn device(&self) -> Option<&Arc<Device>> {
        match &self.devices[..] {
            [device] => Some(device),
            _ => None,
        }
    }
}

/// Devices as what others keep busy.
pub(crate) fn loads(devices: &[Arc<Device>]) -> Vec<Arc<dyn Load>> {
    let loads = devices.iter().map(|it| Arc::clone(it) as Arc<dyn Load>);
    loads.collect()
}

impl IndexPlace {
    /// Reads `index_device`; without it, vectors lie where `model` computes.
    pub(crate) fn read(options: &mut Options<'_>, model: Option<&ModelPlace>) -> Self {
        let own = options.texts(KEY).map(|texts| parse(&texts));
        let usual = || Self {
            key: "device",
            on: On::One(model.map(|it| it.wish.choice).unwrap_or_default()),
        };
        match own {
            None => usual(),
            Some(Ok(on)) => Self { key: KEY, on },
            Some(Err(why)) => {
                options.problem(why);
                usual()
            }
        }
    }

    /// Whether it has a key of its own, which nobody else looks at.
    pub(crate) fn is_own(&self) -> bool {
        self.key == KEY
    }

    /// Whether no device is asked for.
    pub(crate) fn is_cpu(&self) -> bool {
        self.on == On::One(DeviceChoice::Cpu)
    }

    /// Whether it may be several devices.
    pub(crate) fn is_several(&self) -> bool {
        !matches!(self.on, On::One(_))
    }

    /// Whether it must be a device, and is an error without one.
    pub(crate) fn is_demanded(&self) -> bool {
        !matches!(self.on, On::One(DeviceChoice::Cpu | DeviceChoice::Auto))
    }

    fn wish(&self, choice: DeviceChoice) -> Wish {
        Wish {
            key: self.key,
            choice,
        }
    }

    /// Looks whether there are such devices.
    ///
    /// # Errors
    /// When one is asked for that is not there.
    pub(crate) fn check(&self, spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<()> {
        match self.on {
            On::One(choice) => self.wish(choice).place(spec, env).map(drop),
            On::Several(_) | On::All => self.numbers(spec, env).map(drop),
        }
    }

    /// The devices, of several.
    fn numbers(&self, spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<Vec<usize>> {
        let place = |choice| self.wish(choice).place(spec, env);
        match &self.on {
            On::One(_) => Ok(Vec::new()),
            On::Several(numbers) => {
                for number in numbers {
                    place(DeviceChoice::Cuda(Some(*number)))?;
                }
                Ok(numbers.clone())
            }
            On::All => match place(DeviceChoice::Cuda(None))? {
                Placement::Cuda(_) => Ok(env.devices.numbers()),
                Placement::Cpu(_) => Ok(Vec::new()),
            },
        }
    }

    /// Has `open` put vectors on these devices, or leave them on the processor where there are none.
    /// Under `auto` what cannot be on the device is on the processor.
    ///
    /// # Errors
    /// When a device is not there, and those of `open`.
    pub(crate) fn open<T>(
        &self,
        spec: EngineSpec<'_>,
        env: &BuildEnv<'_>,
        open: impl Fn(&[Placed]) -> Result<Held<T>>,
    ) -> Result<OpenedIndex<T>> {
        if let On::One(choice) = self.on {
            let Opened { value, .. } = self.wish(choice).open(spec, env, |placed| {
                open(placed.map_or(&[], std::slice::from_ref))
            })?;
            return Ok(held(value));
        }
        let mut devices = Vec::new();
        for number in self.numbers(spec, env)? {
            devices.push(env.devices.placed(number, env)?);
        }
        let (value, on) = open(&devices)?;
        let names: Vec<&str> = on.iter().map(|it| it.name()).collect();
        tracing::info!(
            service = spec.name,
            key = self.key,
            devices = names.join(", "),
            "placed on devices"
        );
        Ok(held((value, on)))
    }
}

fn held<T>((value, on): Held<T>) -> OpenedIndex<T> {
    let health = on.iter().map(|it| Arc::clone(it) as Arc<dyn Health>);
    OpenedIndex {
        value,
        health: health.collect(),
        devices: on,
    }
}

/// One device in any words, `cuda:all`, or some by number.
fn parse(texts: &[&str]) -> Result<On, String> {
    let one = |text: &str| {
        text.parse().map_err(|why: Error| {
            let told = why.message().replacen("device", KEY, 1);
            format!("{told}; vectors of a dense index also on `{ALL}`, or a list of `cuda:N`")
        })
    };
    match texts {
        [ALL] => Ok(On::All),
        [text] => one(text).map(On::One),
        several => {
            let mut numbers = Vec::with_capacity(several.len());
            for text in several {
                let DeviceChoice::Cuda(Some(number)) = one(text)? else {
                    return Err(format!(
                        "`{KEY}` is a list, and `{text}` in it names no single GPU; list `cuda:0`, \
                         `cuda:1` and so on, or say `{ALL}`"
                    ));
                };
                if numbers.contains(&number) {
                    return Err(format!("`{KEY}` names `{text}` twice"));
                }
                numbers.push(number);
            }
            Ok(On::Several(numbers))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_several_and_all_are_told_apart() {
        assert_eq!(parse(&["auto"]), Ok(On::One(DeviceChoice::Auto)));
        assert_eq!(parse(&["cuda:3"]), Ok(On::One(DeviceChoice::Cuda(Some(3)))));
        assert_eq!(parse(&[ALL]), Ok(On::All));
        assert_eq!(parse(&["cuda:1", "cuda:0"]), Ok(On::Several(vec![1, 0])));
        for (wrong, part) in [
            (&["gpu"][..], "`cuda:all`"),
            (&["cuda:0", "cuda"], "`cuda` in it names no single GPU"),
            (&["cuda:0", "cpu"], "`cpu` in it"),
            (&["cuda:0", "cuda:0"], "twice"),
            (&["cuda:0", ALL], "not `cuda:all`"),
        ] {
            let told = parse(wrong).unwrap_err();
            assert!(told.contains(part), "{told}");
        }
    }
}
