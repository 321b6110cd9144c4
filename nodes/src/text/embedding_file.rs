//! The vectors of a textual-inversion file, whichever tool wrote it.

use std::path::Path;

use anyhow::{Context, Result, bail};
use redraft_engine::files;
use safetensors::{Dtype, SafeTensors};
use tch::{Kind, Tensor};

use crate::files::pickle::Value;
use crate::files::torch_file::{TorchFile, bounded, from_bytes, last_storage};

/// Embeddings are kilobytes; files of bundles are megabytes.
const MAX_FILE: u64 = 1 << 30;
/// Where values are read from inside of a file: a dictionary in a list or dictionary, and its tensors.
const MAX_DEPTH: usize = 3;

/// What matters of a file's structure.
enum Saved {
    Tensor(Tensor),
    Dict(Vec<(String, Saved)>),
    List(Vec<Saved>),
    Other,
}

/// Reads the embedding of `width` in a file: one vector (1-D) or several (2-D, n × width), in the file's kind of number.
///
/// `key` is the text encoder's name in files for several (`clip_l` for SD1.x). The vectors may have another width where
/// the file leaves no choice; the encoder drops those.
///
/// # Errors
/// The file is damaged or of another format, or holds no tensor where one is looked for.
pub(crate) fn read(path: &Path, width: i64, key: &str) -> Result<Tensor> {
    let extension = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("safetensors"));
    let saved = if extension {
        safetensors(&bounded(files::open(path)?, MAX_FILE)?)?
    } else {
        match TorchFile::open(path, MAX_FILE) {
            Ok(file) => structure(&file, file.pickle().root(), MAX_DEPTH)?,
            // A pickle that is not read: some archives still tell enough by the size of their storages.
            Err(error) => return unexplained(path).map_err(|_| error),
        }
    };
    let vectors = choose(saved, width, key)?;
    let size = vectors.size();
    if !matches!(size[..], [_] | [_, _]) {
        bail!("a tensor of size {size:?}, where one vector or a list of vectors belongs");
    }
    Ok(vectors)
}

fn safetensors(bytes: &[u8]) -> Result<Saved> {
    let file = SafeTensors::deserialize(bytes).context("not a readable .safetensors file")?;
    let mut tensors: Vec<_> = file.iter().collect();
    // The order of the data, which is the order in which the reference meets the names.
    tensors.sort_by_key(|(_, view)| view.data().as_ptr());
    let tensor = |(name, view): (&str, safetensors::tensor::TensorView<'_>)| {
        let size = view.shape().iter().map(|n| i64::try_from(*n)).collect::<Result<Vec<_>, _>>()?;
        Ok((name.to_owned(), Saved::Tensor(from_bytes(view.data(), &size, kind(view.dtype())?)?)))
    };
    Ok(Saved::Dict(tensors.into_iter().map(tensor).collect::<Result<_>>()?))
}

fn kind(dtype: Dtype) -> Result<Kind> {
    Ok(match dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F64 => Kind::Double,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::I16 => Kind::Int16,
        Dtype::I8 => Kind::Int8,
        Dtype::U8 => Kind::Uint8,
        Dtype::BOOL => Kind::Bool,
        other => bail!("tensors of kind {other:?} are not supported in embeddings: convert the file to F32"),
    })
}

fn structure(file: &TorchFile, value: &Value, depth: usize) -> Result<Saved> {
    let Some(depth) = depth.checked_sub(1) else { return Ok(Saved::Other) };
    if let Value::Tensor(view) = value {
        return Ok(Saved::Tensor(file.tensor(view)?));
    }
    if let Some(entries) = file.pickle().entries(value) {
        let entry = |(key, value): (&str, &Value)| Ok((key.to_owned(), structure(file, value, depth)?));
        return Ok(Saved::Dict(entries.map(entry).collect::<Result<_>>()?));
    }
    match file.pickle().items(value) {
        Some(items) if matches!(value, Value::List(_)) => {
            Ok(Saved::List(items.iter().map(|item| structure(file, item, depth)).collect::<Result<_>>()?))
        }
        _ => Ok(Saved::Other),
    }
}

/// The order of ComfyUI 0.8.0: A1111's `string_to_param`, a list of dictionaries, the encoder's own key, embeddings
/// bundled in LoRA files, else whatever comes first.
fn choose(saved: Saved, width: i64, key: &str) -> Result<Tensor> {
    let mut entries = match saved {
        Saved::Dict(entries) => entries,
        Saved::List(items) => return fitting(items, width),
        Saved::Tensor(_) | Saved::Other => bail!("the file holds no dictionary or list of tensors"),
    };
    if let Some(at) = entries.iter().position(|(name, _)| name == "string_to_param") {
        return match entries.swap_remove(at).1 {
            Saved::Dict(vectors) => first(vectors),
            _ => bail!("`string_to_param` is no dictionary"),
        };
    }
    if let Some(at) = entries.iter().position(|(name, _)| name == key) {
        return first(vec![entries.swap_remove(at)]);
    }
    for suffix in [".string_to_param.*".to_owned(), format!(".{key}")] {
        let bundled: Vec<&Tensor> = entries
            .iter()
            .filter(|(name, _)| name.starts_with("bundle_emb.") && name.ends_with(&suffix))
            .filter_map(|(_, saved)| if let Saved::Tensor(tensor) = saved { Some(tensor) } else { None })
            .collect();
        if !bundled.is_empty() {
            return Ok(Tensor::f_cat(&bundled, 0)?);
        }
    }
    first(entries)
}

fn first(entries: Vec<(String, Saved)>) -> Result<Tensor> {
    match entries.into_iter().next() {
        Some((_, Saved::Tensor(tensor))) => Ok(tensor),
        Some((name, _)) => bail!("`{name}` is no tensor"),
        None => bail!("the file holds no tensor"),
    }
}

/// All tensors of the dictionaries whose last dimension is `width`, one below the other.
fn fitting(items: Vec<Saved>, width: i64) -> Result<Tensor> {
    let dictionaries =
        items.into_iter().filter_map(|item| if let Saved::Dict(entries) = item { Some(entries) } else { None });
    let rows: Vec<Tensor> = dictionaries
        .flatten()
        .filter_map(|(_, saved)| if let Saved::Tensor(tensor) = saved { Some(tensor) } else { None })
        .filter(|tensor| tensor.size().last() == Some(&width))
        .map(|tensor| tensor.f_reshape([-1, width]))
        .collect::<Result<_, _>>()?;
    if rows.is_empty() {
        bail!("no tensor of width {width} in the file's list");
    }
    Ok(Tensor::f_cat(&rows, 0)?)
}

/// Takes the last large storage of an archive for float32 vectors, of SD1.x's width or else of SD2.x's.
fn unexplained(path: &Path) -> Result<Tensor> {
    const SD1: usize = 768;
    const SD2: usize = 1024;
    let found = last_storage(path, SD1 as u64, MAX_FILE).ok().flatten();
    let bytes = found.context("no other way to find its vectors")?;
    let count = bytes.len() / Kind::Float.elt_size_in_bytes();
    let width = if count.is_multiple_of(SD1) { SD1 } else { SD2 };
    from_bytes(&bytes, &[i64::try_from(count / width)?, i64::try_from(width)?], Kind::Float)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn ones(size: [i64; 2], number: f64) -> Saved {
        Saved::Tensor(Tensor::full(size, number, (Kind::Float, tch::Device::Cpu)))
    }

    fn dict(entries: Vec<(&str, Saved)>) -> Saved {
        Saved::Dict(entries.into_iter().map(|(name, saved)| (name.to_owned(), saved)).collect())
    }

    /// Number of rows and first number of what is chosen.
    fn chosen(saved: Saved) -> Result<(i64, f64)> {
        let tensor = choose(saved, 4, "clip_l")?;
        Ok((tensor.size()[0], tensor.double_value(&[0, 0])))
    }

    #[test]
    fn chooses_in_order() {
        let vectors = || dict(vec![("*", ones([2, 4], 1.0)), ("second", ones([1, 4], 2.0))]);
        assert_eq!(
            chosen(dict(vec![("clip_l", ones([1, 4], 9.0)), ("string_to_param", vectors())])).unwrap(),
            (2, 1.0)
        );
        let encoders = vec![("clip_g", ones([1, 6], 3.0)), ("clip_l", ones([2, 4], 4.0))];
        assert_eq!(chosen(dict(encoders)).unwrap(), (2, 4.0));
        let bundle = |end: &str, n| (format!("bundle_emb.{n}.{end}"), ones([n, 4], n as f64));
        let both = Saved::Dict(vec![
            ("lora".to_owned(), ones([1, 4], 0.0)),
            bundle("clip_l", 1),
            bundle("string_to_param.*", 2),
            bundle("string_to_param.*", 3),
        ]);
        assert_eq!(chosen(both).unwrap(), (5, 2.0));
        let keyed = Saved::Dict(vec![("lora".to_owned(), ones([1, 4], 0.0)), bundle("clip_l", 1)]);
        assert_eq!(chosen(keyed).unwrap(), (1, 1.0));
        assert_eq!(chosen(dict(vec![("emb_params", ones([3, 4], 7.0)), ("b", ones([1, 4], 8.0))])).unwrap(), (3, 7.0));
        let list = Saved::List(vec![
            dict(vec![("g", ones([2, 6], 5.0)), ("l", ones([2, 4], 6.0))]),
            dict(vec![("x", ones([1, 4], 7.0))]),
            Saved::Other,
        ]);
        assert_eq!(chosen(list).unwrap(), (3, 6.0));
    }

    #[test]
    fn says_what_is_missing() {
        let table = [
            (Saved::Other, "the file holds no dictionary or list of tensors"),
            (dict(vec![]), "the file holds no tensor"),
            (dict(vec![("name", Saved::Other)]), "`name` is no tensor"),
            (dict(vec![("string_to_param", Saved::Other)]), "`string_to_param` is no dictionary"),
            (Saved::List(vec![dict(vec![("g", ones([2, 6], 5.0))])]), "no tensor of width 4 in the file's list"),
        ];
        for (saved, message) in table {
            assert_eq!(chosen(saved).unwrap_err().to_string(), message);
        }
    }

    fn file(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/files/testdata").join(name)
    }

    /// Files written by torch 2.11: see `torch_file` for what is in them.
    #[test]
    fn reads_torch_files() {
        for (name, kind) in [("strided.pt", Kind::BFloat16), ("legacy.pt", Kind::Half)] {
            let vectors = read(&file(name), 4, "clip_l").unwrap();
            assert_eq!((vectors.size(), vectors.kind()), (vec![3, 4], kind), "{name}");
            assert_eq!(vectors.double_value(&[2, 1]), 9.0, "{name}");
        }
    }

    #[test]
    fn a_refused_archive_gives_its_last_large_storage() {
        use std::io::Write;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("odd.pt");
        let mut archive = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
        let numbers: Vec<u8> = (0..2 * 768).flat_map(|n| (n as f32).to_le_bytes()).collect();
        for (name, content) in
            [("x/data.pkl", &b"\x80\x02cos\nsystem\n."[..]), ("x/data/0", &numbers), ("x/data/1", b"small")]
        {
            archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            archive.write_all(content).unwrap();
        }
        archive.finish().unwrap();
        let vectors = read(&path, 768, "clip_l").unwrap();
        assert_eq!((vectors.size(), vectors.double_value(&[1, 0])), (vec![2, 768], 768.0));
        std::fs::write(&path, b"no archive").unwrap();
        let error = format!("{:#}", read(&path, 768, "clip_l").unwrap_err());
        assert!(error.contains("neither a zip archive nor an older torch file"), "{error}");
    }
}
