//! Writing files as `torch.save` does: a zip archive of one pickle and the tensors' raw numbers.

use std::io::{Cursor, Write};

use anyhow::{Result, bail};
use serde_json::Value as Json;
use tch::{Device, Kind, Tensor};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// What can be written.
#[derive(Debug)]
pub enum Saved {
    Tensor(Tensor),
    /// `null`, truth values, numbers, texts; an array becomes a tuple, an object a dictionary.
    Plain(Json),
    List(Vec<Saved>),
    Dict(Vec<(String, Saved)>),
}

/// The bytes of a file that `torch.load` reads.
///
/// # Errors
/// If a tensor's kind of numbers has no storage in torch's format.
pub fn to_bytes(value: &Saved) -> Result<Vec<u8>> {
    let mut writer = Writer { pickle: vec![0x80, 2], tensors: Vec::new() };
    writer.value(value)?;
    writer.pickle.push(b'.');
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
    let mut file = |name: &str, bytes: &[u8]| -> Result<()> {
        archive.start_file(format!("archive/{name}"), stored)?;
        Ok(archive.write_all(bytes)?)
    };
    file("data.pkl", &writer.pickle)?;
    file("byteorder", b"little")?;
    for (at, tensor) in writer.tensors.iter().enumerate() {
        let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
        tensor.copy_data_u8(&mut bytes, tensor.numel());
        file(&format!("data/{at}"), &bytes)?;
    }
    file("version", b"3\n")?;
    Ok(archive.finish()?.into_inner())
}

/// Opcodes after CPython's `pickletools`, protocol 2.
struct Writer {
    pickle: Vec<u8>,
    /// In one piece on the CPU; each is a storage of its own, named by its place.
    tensors: Vec<Tensor>,
}

impl Writer {
    fn value(&mut self, value: &Saved) -> Result<()> {
        match value {
            Saved::Tensor(tensor) => self.tensor(tensor)?,
            Saved::Plain(json) => self.plain(json)?,
            Saved::List(items) => {
                self.pickle.extend(b"](");
                items.iter().try_for_each(|item| self.value(item))?;
                self.pickle.push(b'e');
            }
            Saved::Dict(entries) => {
                self.pickle.extend(b"}(");
                for (key, item) in entries {
                    self.text(key)?;
                    self.value(item)?;
                }
                self.pickle.push(b'u');
            }
        }
        Ok(())
    }

    fn plain(&mut self, json: &Json) -> Result<()> {
        match json {
            Json::Null => self.pickle.push(b'N'),
            Json::Bool(truth) => self.pickle.push(if *truth { 0x88 } else { 0x89 }),
            Json::Number(number) => match number.as_i64() {
                Some(int) => self.int(int),
                None => {
                    self.pickle.push(b'G');
                    self.pickle.extend(number.as_f64().unwrap_or(f64::NAN).to_be_bytes());
                }
            },
            Json::String(text) => self.text(text)?,
            Json::Array(items) => {
                self.pickle.push(b'(');
                items.iter().try_for_each(|item| self.plain(item))?;
                self.pickle.push(b't');
            }
            Json::Object(entries) => {
                self.pickle.extend(b"}(");
                for (key, item) in entries {
                    self.text(key)?;
                    self.plain(item)?;
                }
                self.pickle.push(b'u');
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<()> {
        self.pickle.push(b'X');
        self.pickle.extend(u32::try_from(text.len())?.to_le_bytes());
        self.pickle.extend(text.as_bytes());
        Ok(())
    }

    /// As eight bytes whatever its size.
    fn int(&mut self, int: i64) {
        self.pickle.extend([0x8a, 8]);
        self.pickle.extend(int.to_le_bytes());
    }

    fn tuple(&mut self, ints: &[i64]) {
        self.pickle.push(b'(');
        ints.iter().for_each(|int| self.int(*int));
        self.pickle.push(b't');
    }

    fn tensor(&mut self, tensor: &Tensor) -> Result<()> {
        let storage = match tensor.kind() {
            Kind::Float => "FloatStorage",
            Kind::Double => "DoubleStorage",
            Kind::Half => "HalfStorage",
            Kind::BFloat16 => "BFloat16Storage",
            Kind::Int64 => "LongStorage",
            Kind::Int => "IntStorage",
            Kind::Uint8 => "ByteStorage",
            Kind::Bool => "BoolStorage",
            other => bail!("a tensor of kind {other:?} cannot be written as a torch file: this is a bug"),
        };
        let tensor = tensor.to_device(Device::Cpu).contiguous();
        self.pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        self.text("storage")?;
        self.pickle.extend(format!("ctorch\n{storage}\n").as_bytes());
        self.text(&self.tensors.len().to_string())?;
        self.text("cpu")?;
        self.int(tensor.numel() as i64);
        self.pickle.extend(b"tQ");
        self.int(0);
        self.tuple(&tensor.size());
        self.tuple(&tensor.stride());
        self.pickle.push(0x89);
        self.pickle.extend(b"ccollections\nOrderedDict\n)RtR");
        self.tensors.push(tensor);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::files::TorchFile;
    use crate::files::pickle::Value;

    #[test]
    fn what_is_written_is_read_again() {
        let tensor = Tensor::from_slice(&[1.5f32, 2.0, 3.0, 4.0, 5.0, 6.0]).view([2, 3]).tr();
        let value = Saved::Dict(vec![
            ("t".to_owned(), Saved::List(vec![Saved::Tensor(tensor.shallow_clone()), Saved::Plain(json!(0.25))])),
            ("p".to_owned(), Saved::Plain(json!(["ü", -3, true, null, {"k": 1}]))),
        ]);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), to_bytes(&value).unwrap()).unwrap();
        let read = TorchFile::open(file.path(), 1 << 20).unwrap();
        let pickle = read.pickle();
        let entries: Vec<_> = pickle.entries(pickle.root()).unwrap().collect();
        let (list, plain) = (pickle.items(entries[0].1).unwrap(), pickle.items(entries[1].1).unwrap());
        let Value::Tensor(view) = &list[0] else { panic!("{:?}", list[0]) };
        assert_eq!(read.tensor(view).unwrap(), tensor);
        assert!(matches!(list[1], Value::Float(0.25)));
        assert!(matches!(&plain[0], Value::Str(text) if &**text == "ü"));
        assert!(matches!(&plain[1..4], [Value::Int(-3), Value::Bool(true), Value::None]), "{plain:?}");
        assert_eq!(pickle.entries(&plain[4]).unwrap().count(), 1);
    }
}
