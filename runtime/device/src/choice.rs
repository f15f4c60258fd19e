//! What a configuration says of where something runs.

use std::fmt;
use std::str::FromStr;

use routir_core::{Error, ErrorCode, Result};

use crate::Devices;

/// `cpu`, `cuda`, `cuda:N` or `auto`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeviceChoice {
    /// The processor.
    #[default]
    Cpu,
    /// A GPU: the one of this number, or the one with the most free memory.
    Cuda(Option<usize>),
    /// A GPU where there is one, the processor elsewhere.
    Auto,
}

/// Where something runs, after looking at the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On the processor; with the reason where a GPU was hoped for.
    Cpu(Option<String>),
    /// On the GPU of this number.
    Cuda(usize),
}

impl DeviceChoice {
    /// Decides where it runs.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] when a GPU was asked for that is not there: `auto` never fails.
    pub fn place(self, devices: &Devices) -> Result<Placement> {
        let absent = || {
            devices
                .absent
                .clone()
                .unwrap_or_else(|| "no GPU is visible".to_owned())
        };
        let most_free = devices.devices.iter().max_by_key(|it| it.free_bytes);
        match self {
            Self::Cpu => Ok(Placement::Cpu(None)),
            Self::Auto => Ok(match most_free {
                Some(device) => Placement::Cuda(device.number),
                None => Placement::Cpu(Some(absent())),
            }),
            Self::Cuda(None) => match most_free {
                Some(device) => Ok(Placement::Cuda(device.number)),
                None => Err(unavailable(self, &absent())),
            },
            Self::Cuda(Some(number)) => {
                if devices.devices.iter().any(|it| it.number == number) {
                    return Ok(Placement::Cuda(number));
                }
                let failed = devices.failed.iter().find(|it| it.number == number);
                if let Some(failed) = failed {
                    let why = format!("it cannot be used: {}", failed.why);
                    return Err(unavailable(self, &why));
                }
                let why = match devices.devices.len() + devices.failed.len() {
                    0 => absent(),
                    1 => "there is only `cuda:0`".to_owned(),
                    count => format!("there are `cuda:0` to `cuda:{}`", count - 1),
                };
                Err(unavailable(self, &why))
            }
        }
    }
}

fn unavailable(choice: DeviceChoice, why: &str) -> Error {
    Error::new(
        ErrorCode::Unavailable,
        format!(
            "`device` asks for `{choice}`, but {why}; `routir-rt devices` shows what there is, \
             `auto` takes the processor where there is no GPU"
        ),
    )
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
            digits.parse().ok().filter(|_| plain && digits.len() <= 4)
        };
        match text {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(None)),
            "auto" => Ok(Self::Auto),
            _ => text
                .strip_prefix("cuda:")
                .and_then(number)
                .map(|number| Self::Cuda(Some(number)))
                .ok_or_else(|| {
                    let shown: String = text.chars().take(32).collect();
                    Error::invalid(format!(
                        "`device` is one of `cpu`, `cuda`, `cuda:N` (N from 0) and `auto`, not \
                         `{shown}`"
                    ))
                }),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(None) => f.write_str("cuda"),
            Self::Cuda(Some(number)) => write!(f, "cuda:{number}"),
            Self::Auto => f.write_str("auto"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceInfo;

    fn machine(free: &[u64]) -> Devices {
        let device = |(number, free): (usize, &u64)| DeviceInfo {
            number,
            name: "a GPU".to_owned(),
            total_bytes: 80 << 30,
            free_bytes: *free,
            compute_capability: (9, 0),
            processors: 132,
        };
        Devices {
            driver: None,
            devices: free.iter().enumerate().map(device).collect(),
            failed: Vec::new(),
            absent: free.is_empty().then(|| "there is no driver".to_owned()),
        }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        for text in ["cpu", "cuda", "auto", "cuda:0", "cuda:17"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        let long = "x".repeat(1000);
        for wrong in [
            "",
            "gpu",
            "CUDA",
            "cuda:",
            "cuda:-1",
            "cuda:+1",
            "cuda:1 ",
            "cuda:99999",
            &long,
        ] {
            let error = wrong.parse::<DeviceChoice>().unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidArgument, "{wrong}");
            assert!(error.message().len() < 200, "{error}");
        }
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error_and_auto_says_why_it_is_the_processor() {
        let none = machine(&[]);
        let error = DeviceChoice::Cuda(None).place(&none).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unavailable);
        assert!(error.message().contains("there is no driver"), "{error}");
        assert_eq!(
            DeviceChoice::Auto.place(&none).unwrap(),
            Placement::Cpu(Some("there is no driver".to_owned()))
        );
        assert_eq!(
            DeviceChoice::Cpu.place(&none).unwrap(),
            Placement::Cpu(None)
        );
        let two = machine(&[5, 7]);
        for choice in [DeviceChoice::Auto, DeviceChoice::Cuda(None)] {
            assert_eq!(choice.place(&two).unwrap(), Placement::Cuda(1));
        }
        let error = DeviceChoice::Cuda(Some(2)).place(&two).unwrap_err();
        assert!(error.message().contains("`cuda:0` to `cuda:1`"), "{error}");
    }
}
