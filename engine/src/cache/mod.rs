//! Results kept between runs. What is kept in memory, and how long, is a policy: ComfyUI's four. Below it lies the disk, which other
//! processes see, too.

mod classic;
pub mod disk;
mod lru;
mod ram;

use std::collections::HashSet;
use std::fmt;
use std::rc::Rc;
use std::str::FromStr;

use crate::cx::Shown;
use crate::io::Socket;
use crate::key::Key;
use crate::prompt::NodeId;

pub use classic::Classic;
pub use lru::Lru;
pub use ram::{Memory, Ram};

/// What a node left behind: its outputs, and what it showed.
#[derive(Clone, Debug, Default)]
pub struct Results {
    pub outputs: Vec<Socket>,
    pub shown: Shown,
}

impl Results {
    /// About how much memory the outputs hold, in bytes.
    pub fn bytes(&self) -> usize {
        self.outputs.iter().flat_map(|socket| socket.iter()).map(|value| value.bytes()).sum()
    }
}

/// The node of the workflow, and its class, that a node made at run time descends from.
pub type Owner = (NodeId, String);

/// What is in the workflow that a run is for.
#[derive(Clone, Debug, Default)]
pub struct Present {
    pub keys: HashSet<Key>,
    pub nodes: HashSet<Owner>,
}

/// A policy for keeping results.
pub trait Cache {
    /// A run begins.
    fn begin(&mut self, present: &Present);

    fn get(&mut self, key: &Key) -> Option<Rc<Results>>;

    /// `owner` is given for nodes that were made at run time.
    fn put(&mut self, key: Key, results: Rc<Results>, owner: Option<Owner>);

    /// Called after each node: frees memory if the policy says so.
    fn make_room(&mut self) {}
}

/// Keeps nothing: values live while something waits for them.
#[derive(Debug, Default)]
pub struct Nothing;

impl Cache for Nothing {
    fn begin(&mut self, _: &Present) {}

    fn get(&mut self, _: &Key) -> Option<Rc<Results>> {
        None
    }

    fn put(&mut self, _: Key, _: Rc<Results>, _: Option<Owner>) {}
}

/// The policies by name: `classic`, `lru:N`, `none`, `ram:GB`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Policy {
    /// Results live as long as the next run has a node for them.
    #[default]
    Classic,
    /// At most so many results, the oldest dropped first; but always those of the last run.
    Lru(usize),
    /// Nothing is kept.
    None,
    /// Everything, until less than so many gigabytes of memory are free.
    Ram(f64),
}

impl Policy {
    pub fn open(self) -> Box<dyn Cache> {
        match self {
            Self::Classic => Box::<Classic>::default(),
            Self::Lru(size) => Box::new(Lru::new(size)),
            Self::None => Box::new(Nothing),
            Self::Ram(gigabytes) => Box::new(Ram::new(gigabytes, Memory::default())),
        }
    }
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no cache policy; use classic, lru:N, none or ram:GB");
        match text.split_once(':') {
            None if text == "classic" => Ok(Self::Classic),
            None if text == "none" => Ok(Self::None),
            Some(("lru", size)) => size.parse().map(Self::Lru).map_err(|_| wrong()),
            Some(("ram", size)) => {
                let gigabytes: f64 = size.parse().map_err(|_| wrong())?;
                if gigabytes.is_finite() && gigabytes > 0.0 { Ok(Self::Ram(gigabytes)) } else { Err(wrong()) }
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Classic => f.write_str("classic"),
            Self::Lru(size) => write!(f, "lru:{size}"),
            Self::None => f.write_str("none"),
            Self::Ram(gigabytes) => write!(f, "ram:{gigabytes}"),
        }
    }
}

#[cfg(test)]
mod tests;
