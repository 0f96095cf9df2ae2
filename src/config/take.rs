//! How the engine's types are made from values that have passed their checks.

use std::path::PathBuf;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::cores::{Cores, REACTORS_MAX};
use super::host::Host;
use super::value::{Profile, Value};
use crate::network::Network;

/// What a value is taken on: the machine, and the values that others depend on.
pub(super) struct Ground<'a> {
    pub(super) host: &'a Host,
    pub(super) pool_blocks: u32,
}

/// How the engine's type is made from a value that has passed its check.
pub(super) trait Take {
    fn take(value: &Value, ground: &Ground<'_>) -> Self;
}

macro_rules! takes {
    ($($type:ty: $($value:pat => $make:expr),+;)+) => {
        $(impl Take for $type {
            fn take(value: &Value, _: &Ground<'_>) -> Self {
                match value {
                    $($value => $make,)+
                    other => unreachable!("{other:?} is not of the kind that the table names"),
                }
            }
        })+
    };
}

takes! {
    usize: Value::Number(n) => *n as usize;
    u8: Value::Number(n) => u8::try_from(*n).expect("the ranges of prefixes end at 128");
    bool: Value::Switch(on) => *on;
    Duration: Value::Number(n) => Duration::from_nanos(*n);
    PathBuf: Value::Path(path) => path.clone();
    LevelFilter: Value::Level(level) => *level;
    Profile: Value::Profile(profile) => *profile;
    Vec<Network>: Value::Networks(networks) => networks.clone();
}

impl Take for u32 {
    fn take(value: &Value, ground: &Ground<'_>) -> Self {
        match value {
            Value::Number(n) => Self::try_from(*n).expect("the ranges of counts fit in 32 bits"),
            Value::Share(share) => share.of(ground.pool_blocks),
            other => unreachable!("{other:?} is not of the kind that the table names"),
        }
    }
}

impl Take for Vec<usize> {
    fn take(value: &Value, ground: &Ground<'_>) -> Self {
        match value {
            Value::Cores(Cores::Auto) => {
                ground.host.cores_auto().iter().copied().take(REACTORS_MAX).collect()
            }
            Value::Cores(Cores::Count(n)) => {
                ground.host.cores.iter().copied().cycle().take(*n).collect()
            }
            Value::Cores(Cores::List(list)) => list.clone(),
            other => unreachable!("{other:?} is not of the kind that the table names"),
        }
    }
}
