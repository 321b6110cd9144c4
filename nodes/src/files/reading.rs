//! What networks take out of files into memory: counted, and shared between networks that use the same tensors.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use anyhow::Result;
use tch::{Kind, Tensor};

use super::weights_file::FileId;
use crate::ops::numerics::Placement;

/// A tensor in memory: which of which file, and where and how it is held.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Source {
    file: FileId,
    name: String,
    device: (bool, usize),
    kind: Kind,
    channels_last: bool,
}

impl Source {
    pub(super) fn new(file: &FileId, name: &str, placement: Placement) -> Self {
        let Placement { device, kind, channels_last } = placement;
        let number = if let tch::Device::Cuda(number) = device { number } else { 0 };
        Self { file: file.clone(), name: name.to_owned(), device: (device.is_cuda(), number), kind, channels_last }
    }
}

/// All tensors that networks hold in memory; views of mapped files are none of them.
#[derive(Default)]
pub struct Ledger {
    shared: RefCell<HashMap<Source, Weak<Held>>>,
    bytes: Rc<Cell<u64>>,
}

/// One tensor, counted until it is dropped.
pub(crate) struct Held {
    tensor: Tensor,
    bytes: u64,
    total: Rc<Cell<u64>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.total.set(self.total.get() - self.bytes);
    }
}

impl Ledger {
    /// How many bytes all of them take.
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    fn hold(&self, tensor: Tensor) -> Rc<Held> {
        let bytes = (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64;
        self.bytes.set(self.bytes.get() + bytes);
        Rc::new(Held { tensor, bytes, total: self.bytes.clone() })
    }
}

/// One network that is being read. Its tensors stay in the ledger as long as what [`Reading::end`] returns is kept.
pub struct Reading {
    ledger: Rc<Ledger>,
    held: RefCell<Vec<Rc<Held>>>,
    /// Tensors that are in memory and may be asked for: they are not to go when room is made.
    expected: RefCell<Vec<Rc<Held>>>,
    /// Is told how many bytes are about to be taken.
    make_room: Box<dyn Fn(u64)>,
}

impl Reading {
    pub(crate) fn new(ledger: Rc<Ledger>, make_room: impl Fn(u64) + 'static) -> Self {
        Self { ledger, held: RefCell::default(), expected: RefCell::default(), make_room: Box::new(make_room) }
    }

    /// Keeps the tensors that are told by file and name, as far as they are in memory, until the end.
    pub(super) fn expect(&self, told: impl Fn(&FileId, &str) -> bool) {
        let shared = self.ledger.shared.borrow();
        let expected = shared.iter().filter(|(source, _)| told(&source.file, &source.name));
        self.expected.borrow_mut().extend(expected.filter_map(|(_, held)| held.upgrade()));
    }

    /// A tensor as its file has it: the one in memory, or what `read` gives, `bytes` long.
    pub(super) fn shared(&self, source: Source, bytes: u64, read: impl FnOnce() -> Result<Tensor>) -> Result<Tensor> {
        let found = self.ledger.shared.borrow().get(&source).and_then(Weak::upgrade);
        let held = match found {
            Some(held) => held,
            None => {
                (self.make_room)(bytes);
                let held = self.ledger.hold(read()?);
                self.ledger.shared.borrow_mut().insert(source, Rc::downgrade(&held));
                held
            }
        };
        let tensor = held.tensor.shallow_clone();
        self.held.borrow_mut().push(held);
        Ok(tensor)
    }

    /// A tensor of this network alone: what `read` gives, `bytes` long.
    pub(super) fn own(&self, bytes: u64, read: impl FnOnce() -> Result<Tensor>) -> Result<Tensor> {
        (self.make_room)(bytes);
        let held = self.ledger.hold(read()?);
        let tensor = held.tensor.shallow_clone();
        self.held.borrow_mut().push(held);
        Ok(tensor)
    }

    /// What was read. Tensors that nobody has any more are forgotten.
    pub(crate) fn end(&self) -> Vec<Rc<Held>> {
        self.expected.take();
        self.ledger.shared.borrow_mut().retain(|_, held| held.strong_count() > 0);
        self.held.take()
    }
}
