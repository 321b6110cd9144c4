//! The networks in memory. A recipe asks for its network; one that was used lately is still here.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use anyhow::Result;

use crate::files::delta::Digest;
use crate::files::reading::{Held, Ledger, Reading};
use crate::files::weights::Weights;
use crate::files::weights_file::FileId;
use crate::ops::memory;
use crate::ops::numerics::Numerics;

/// Networks by what they were built from: a part of a file, and the deltas over it.
///
/// Together they hold at most so many bytes of tensors (views of mapped files are free); the network that was not used for the
/// longest time goes first, and it goes before another is read. Networks of one file share the tensors that no delta changes.
pub struct Networks {
    numerics: Numerics,
    limit: u64,
    ledger: Rc<Ledger>,
    /// The most recent first.
    kept: Rc<RefCell<Vec<Kept>>>,
}

struct Kept {
    key: (TypeId, Digest),
    /// An `Rc` of the network.
    network: Box<dyn Any>,
    /// Its tensors, for the ledger.
    _held: Vec<Rc<Held>>,
}

impl Networks {
    /// A store that takes up to half of the memory of the machine, or of the GPU that is computed on.
    pub fn new(numerics: Numerics) -> Self {
        Self::with_limit(numerics, memory::total(numerics.device) / 2)
    }

    /// A store that takes up to `limit` bytes, or one network if that is larger.
    pub fn with_limit(numerics: Numerics, limit: u64) -> Self {
        Self { numerics, limit, ledger: Rc::default(), kept: Rc::default() }
    }

    /// In which element types its networks hold their weights.
    pub fn numerics(&self) -> &Numerics {
        &self.numerics
    }

    /// How many bytes of tensors its networks hold.
    pub fn bytes(&self) -> u64 {
        self.ledger.bytes()
    }

    /// The network of type `T` over `weights`: the one in memory, or what `load` builds.
    ///
    /// `load` must depend on nothing but what it is given. Its error is returned as it is.
    pub fn get<T: ?Sized + 'static>(
        &self,
        weights: &Weights,
        load: impl FnOnce(&Weights, &Numerics) -> Result<Rc<T>>,
    ) -> Result<Rc<T>> {
        self.of_several([weights], |[weights], numerics| load(&weights, numerics))
    }

    /// The network of type `T` over several files' weights, as [`get`](Self::get).
    pub fn of_several<T: ?Sized + 'static, const N: usize>(
        &self,
        weights: [&Weights; N],
        load: impl FnOnce([Weights; N], &Numerics) -> Result<Rc<T>>,
    ) -> Result<Rc<T>> {
        let key = (TypeId::of::<T>(), digest(weights));
        if let Some(network) = self.find(&key) {
            // Its tensors may be views of the files.
            weights.iter().try_for_each(|weights| weights.unchanged())?;
            return Ok(network);
        }
        let reading = Rc::new(self.reading());
        let network = load(weights.map(|weights| weights.read_by(reading.clone())), &self.numerics)?;
        let kept = Kept { key, network: Box::new(network.clone()), _held: reading.end() };
        self.kept.borrow_mut().insert(0, kept);
        Ok(network)
    }

    /// What `load` makes of a file that holds no tensors, such as a vocabulary: the one in memory while the file is as it was.
    ///
    /// # Errors
    /// If the file is not there, and those of `load`.
    pub fn of_file<T: 'static>(&self, path: &Path, load: impl FnOnce(&Path) -> Result<T>) -> Result<Rc<T>> {
        let mut hasher = blake3::Hasher::new();
        FileId::of(path, &fs_err::metadata(path)?).add_to(&mut hasher);
        let key = (TypeId::of::<T>(), *hasher.finalize().as_bytes());
        if let Some(found) = self.find(&key) {
            return Ok(found);
        }
        let made = Rc::new(load(path)?);
        self.kept.borrow_mut().insert(0, Kept { key, network: Box::new(made.clone()), _held: Vec::new() });
        Ok(made)
    }

    fn find<T: ?Sized + 'static>(&self, key: &(TypeId, Digest)) -> Option<Rc<T>> {
        let mut kept = self.kept.borrow_mut();
        let at = kept.iter().position(|kept| kept.key == *key)?;
        kept[..=at].rotate_right(1);
        kept[0].network.downcast_ref::<Rc<T>>().cloned()
    }

    /// A reading that drops old networks as it needs their room.
    fn reading(&self) -> Reading {
        let (kept, ledger, limit) = (self.kept.clone(), self.ledger.clone(), self.limit);
        Reading::new(self.ledger.clone(), move |bytes| {
            while ledger.bytes().saturating_add(bytes) > limit {
                let Some(oldest) = kept.borrow_mut().pop() else { break };
                drop(oldest);
            }
        })
    }
}

/// What stands for all of them.
fn digest<const N: usize>(weights: [&Weights; N]) -> Digest {
    if let [only] = weights.as_slice() {
        return only.digest();
    }
    let mut hasher = blake3::Hasher::new();
    weights.iter().for_each(|weights| {
        hasher.update(&weights.digest());
    });
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tch::{Device, Kind, Tensor};

    use super::*;
    use crate::files::delta::{Delta, Slot};
    use crate::files::tensor_file;

    /// Tensors `a` and `b` below `net`.
    struct Net {
        a: Tensor,
        b: Tensor,
    }

    const SIZE: i64 = 1000;

    /// A file with a network of 2 × 1000 float16 values, so that it takes 8000 bytes in float32.
    fn file() -> (tempfile::TempDir, Weights) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("net.safetensors");
        let ones = Tensor::ones([SIZE], (Kind::Half, Device::Cpu));
        tensor_file::save(&path, [("net.a", &ones), ("net.b", &(&ones * 2.0))]).unwrap();
        let weights = Weights::open(&path).unwrap().at("net");
        (directory, weights)
    }

    fn get(networks: &Networks, weights: &Weights) -> Rc<Net> {
        networks
            .get(weights, |w, _| Ok(Rc::new(Net { a: w.tensor("a", &[SIZE])?, b: w.tensor("b", &[SIZE])? })))
            .unwrap()
    }

    fn doubled(weights: &Weights, name: &str) -> Weights {
        weights.changed(Delta::multiply([(Slot::whole(weights.full_name(name)), 2.0)]))
    }

    #[test]
    fn a_network_in_memory_is_given_again() {
        let (_directory, weights) = file();
        let networks = Networks::with_limit(Numerics::cpu(), 1 << 20);
        let first = get(&networks, &weights);
        assert!(Rc::ptr_eq(&first, &get(&networks, &weights)));
        // The same file opened once more, and the same change made once more.
        assert!(Rc::ptr_eq(&first, &get(&networks, &Weights::open(weights.path()).unwrap().at("net"))));
        let changed = get(&networks, &doubled(&weights, "a"));
        assert!(!Rc::ptr_eq(&first, &changed));
        assert!(Rc::ptr_eq(&changed, &get(&networks, &doubled(&weights, "a"))));
        assert!(networks.get::<Tensor>(&weights, |w, _| Ok(Rc::new(w.tensor("a", &[SIZE])?))).is_ok(), "another type");
    }

    #[test]
    fn variants_share_what_no_delta_changes() {
        let (_directory, weights) = file();
        let networks = Networks::with_limit(Numerics::cpu(), 1 << 20);
        let (plain, a, b) = (
            get(&networks, &weights),
            get(&networks, &doubled(&weights, "a")),
            get(&networks, &doubled(&weights, "b")),
        );
        assert_eq!([&plain, &a, &b].map(|net| net.a.double_value(&[0])), [1.0, 2.0, 1.0]);
        assert_eq!([&plain, &a, &b].map(|net| net.b.double_value(&[0])), [2.0, 2.0, 4.0]);
        assert_eq!(plain.b.data_ptr(), a.b.data_ptr());
        assert_eq!(plain.a.data_ptr(), b.a.data_ptr());
        assert_ne!(plain.a.data_ptr(), a.a.data_ptr());
        assert_eq!(networks.bytes(), 4 * 4 * SIZE as u64);
    }

    #[test]
    fn the_longest_unused_goes_before_another_is_read() {
        let (_directory, weights) = file();
        let networks = Networks::with_limit(Numerics::cpu(), 16_000);
        let variants = ["a", "b"].map(|name| doubled(&weights, name));
        let plain = Rc::downgrade(&get(&networks, &weights));
        let first = Rc::downgrade(&get(&networks, &variants[0]));
        get(&networks, &weights);
        // 8000 bytes of the plain one, 4000 of the first variant; the second takes 4000, and then nothing is left.
        let second = Rc::downgrade(&get(&networks, &variants[1]));
        assert_eq!(networks.bytes(), 16_000);
        assert_eq!([&plain, &first, &second].map(|net| net.strong_count()), [1, 1, 1]);
        let both = get(&networks, &doubled(&variants[0], "b"));
        assert!(networks.bytes() <= 16_000);
        assert_eq!([&plain, &first, &second].map(|net| net.strong_count()), [0, 0, 1]);
        assert_eq!((both.a.double_value(&[0]), both.b.double_value(&[0])), (2.0, 4.0));
        // One that is larger than the limit is read all the same, and is alone.
        let small = Networks::with_limit(Numerics::cpu(), 10);
        get(&small, &weights);
        assert_eq!(small.bytes(), 8000);
        get(&small, &variants[0]);
        assert_eq!(small.bytes(), 8000);
    }

    #[test]
    fn room_is_made_without_losing_what_will_be_shared() {
        let (_directory, weights) = file();
        let networks = Networks::with_limit(Numerics::cpu(), 8_000);
        let b = get(&networks, &weights).b.data_ptr();
        let variant = get(&networks, &doubled(&weights, "a"));
        assert_eq!((variant.b.data_ptr(), networks.bytes()), (b, 8_000));
    }

    #[test]
    fn what_is_made_of_a_file_is_made_again_when_the_file_is_another() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let networks = Networks::with_limit(Numerics::cpu(), 1 << 20);
        let read = || networks.of_file(file.path(), |path| Ok(std::fs::read_to_string(path)?));
        let first = read().unwrap();
        assert!(Rc::ptr_eq(&first, &read().unwrap()));
        std::fs::write(file.path(), "another").unwrap();
        assert_eq!(*read().unwrap(), "another");
        let path = file.path().to_owned();
        drop(file);
        assert!(networks.of_file(&path, |_| Ok(())).is_err());
    }

    #[test]
    fn a_network_that_cannot_be_built_leaves_nothing() {
        let (_directory, weights) = file();
        let networks = Networks::with_limit(Numerics::cpu(), 1 << 20);
        let failed = networks
            .get::<Net>(&weights, |w, _| Ok(Rc::new(Net { a: w.tensor("a", &[SIZE])?, b: w.tensor("c", &[SIZE])? })));
        assert!(failed.err().unwrap().to_string().contains("net.c"));
        assert_eq!(networks.bytes(), 0);
    }
}
