//! Compressing a module as the others of its kernel are, to the very bytes that the tool gives with
//! the default options.
//!
//! xz is done in this process (one block, as `xz` up to 5.4 and `xz -T1` write it), unless the admin chose
//! options of his own. gzip's deflate is in no library, and zstd's bytes change from version to version:
//! there the tool runs, and only on a system without it our own compressor stands in, whose result every
//! kernel can read too.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use liblzma::stream::{Check, Filters, LzmaOptions, Stream};

use crate::Compression;
use dkms_base::host::fs::{self, FsError};
use dkms_base::host::process::{Process, ProcessError};
use dkms_base::host::{Environment, programs};

use super::content::unpacking;
use super::gzip;
use super::tool::{ToolError, ToolRunner};

/// The tools' options from framework.conf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompressOptions {
    /// `compress_gzip_opts`
    pub gzip: String,
    /// `compress_xz_opts`
    pub xz: String,
    /// `compress_zstd_opts`
    pub zstd: String,
}

impl Default for CompressOptions {
    fn default() -> Self {
        Self { gzip: String::new(), xz: DEFAULT_XZ_OPTS.to_owned(), zstd: DEFAULT_ZSTD_OPTS.to_owned() }
    }
}

/// The default of `compress_xz_opts`.
pub const DEFAULT_XZ_OPTS: &str = "--check=crc32 --lzma2=dict=1MiB";
/// The default of `compress_zstd_opts`.
pub const DEFAULT_ZSTD_OPTS: &str = "-q --rm -T0";

/// A module that could not be compressed; it is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CompressError {
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The compressor itself failed.
    #[error("cannot compress `{}`: {source}", path.display())]
    Compressor {
        /// The module.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The tool could not be run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The tool failed.
    #[error("cannot compress `{}`: `{line}` failed with exit code {code}: {output}", path.display())]
    Failed {
        /// The module.
        path: PathBuf,
        /// The command line.
        line: String,
        /// Its exit code.
        code: i32,
        /// What it wrote.
        output: String,
    },
}

/// Compresses `path` (a `.ko`) to its neighbour with the suffix, which is returned; the file itself is then
/// gone. A program of the system does that on a copy.
///
/// # Errors
/// [`CompressError`]; then `path` is as it was and nothing is left beside it.
pub fn compress(
    path: &Path,
    compression: Compression,
    options: &CompressOptions,
    environment: &Environment,
    tools: &dyn ToolRunner,
) -> Result<PathBuf, CompressError> {
    let target = suffixed(path, compression.suffix());
    let (tool, chosen, default, packer): (_, _, _, Packer) = match compression {
        Compression::None => return Ok(target),
        Compression::Gzip => ("gzip", &options.gzip, "", gzip::packed),
        Compression::Xz => ("xz", &options.xz, DEFAULT_XZ_OPTS, xz),
        Compression::Zstd => ("zstd", &options.zstd, DEFAULT_ZSTD_OPTS, zstd),
    };
    let as_the_tool = compression == Compression::Xz;
    let ours = chosen.split_whitespace().eq(default.split_whitespace())
        && (as_the_tool || programs::find(tool, environment).is_none());
    if ours {
        ourselves(path, &target, packer)?;
    } else {
        let command = |path: &Path| {
            let words = chosen.split_whitespace().map(OsString::from);
            Process::new(tool, words.chain(["-f".into(), path.into()]), environment)
        };
        let result = with_tool(&command, path, compression.suffix(), &target, tools);
        result.inspect_err(|_| drop(fs::remove_file(&target)))?;
    }
    Ok(target)
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// A compressor: gets a file, its name, its time in seconds and its length, and where to write to.
type Packer = fn(File, &str, (u32, u64), BufWriter<File>) -> io::Result<BufWriter<File>>;

fn ourselves(path: &Path, target: &Path, packer: Packer) -> Result<(), CompressError> {
    let source = fs::open(path)?;
    let meta = fs::stat(path)?;
    let (mode, mtime, length) = meta.map_or((0o644, (0, 0), 0), |meta| {
        (meta.mode() & 0o7777, (meta.mtime(), meta.mtime_nsec()), meta.len())
    });
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let seconds = u32::try_from(mtime.0).unwrap_or(0);
    let temporary = fs::temporary_beside(target);
    let compressor = |source| CompressError::Compressor { path: path.to_owned(), source };
    let pack = || {
        let packed = BufWriter::new(fs::create_new(&temporary, 0o600)?);
        let packed = packer(source, &name, (seconds, length), packed).map_err(compressor)?;
        let file = packed.into_inner().map_err(|error| compressor(error.into_error()))?;
        file.sync_all().map_err(compressor)?;
        fs::set_mode(&temporary, mode)?;
        fs::set_mtime(&temporary, mtime)?;
        fs::rename(&temporary, target)?;
        Ok(fs::remove_file(path).inspect_err(|_| drop(fs::remove_file(target)))?)
    };
    pack().inspect_err(|_: &CompressError| drop(fs::remove_file(&temporary)))
}

/// As `xz --check=crc32 --lzma2=dict=1MiB`: what the kernel's own decompressor can read.
fn xz(mut source: File, _: &str, _: (u32, u64), packed: BufWriter<File>) -> io::Result<BufWriter<File>> {
    let mut lzma = LzmaOptions::new_preset(6)?;
    lzma.dict_size(1 << 20);
    let stream = Stream::new_stream_encoder(Filters::new().lzma2(&lzma), Check::Crc32)?;
    let mut encoder = liblzma::write::XzEncoder::new_stream(packed, stream);
    io::copy(&mut source, &mut encoder)?;
    encoder.finish()
}

/// As `zstd` does by default: level 3, with the size of the content and a checksum.
fn zstd(
    mut source: File,
    _: &str,
    (_, length): (u32, u64),
    packed: BufWriter<File>,
) -> io::Result<BufWriter<File>> {
    let mut encoder = zstd::stream::write::Encoder::new(packed, 3)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(length))?;
    io::copy(&mut source, &mut encoder)?;
    encoder.finish()
}

fn with_tool(
    command: &dyn Fn(&Path) -> Process,
    path: &Path,
    suffix: &str,
    target: &Path,
    tools: &dyn ToolRunner,
) -> Result<(), CompressError> {
    let line = command(path).line();
    let failed =
        |code, output| CompressError::Failed { path: path.to_owned(), line: line.clone(), code, output };
    let ended = tools.run(path, command, suffix, target)?;
    if !ended.status.success() {
        return Err(failed(ended.code(), ended.text().trim_end().to_owned()));
    }
    if !fs::is_file(target) {
        return Err(failed(0, format!("it left no `{}`", target.display())));
    }
    // Nobody has to believe the program: what it made must be the module.
    let (packed, module) = (BufReader::new(fs::open(target)?), fs::open(path)?);
    if !unpacking(packed).is_ok_and(|unpacked| is_same(unpacked, module)) {
        return Err(failed(0, format!("what it left in `{}` is not the module", target.display())));
    }
    fs::remove_file(path)?;
    Ok(())
}

/// Whether both give the same bytes.
fn is_same(a: impl Read, b: impl Read) -> bool {
    let (mut a, mut b) = (BufReader::with_capacity(1 << 16, a), BufReader::with_capacity(1 << 16, b));
    loop {
        let (Ok(left), Ok(right)) = (a.fill_buf(), b.fill_buf()) else { return false };
        let length = left.len().min(right.len());
        if length == 0 || left[..length] != right[..length] {
            return left.is_empty() && right.is_empty();
        }
        a.consume(length);
        b.consume(length);
    }
}

impl From<ToolError> for CompressError {
    fn from(error: ToolError) -> Self {
        match error {
            ToolError::Fs(error) => Self::Fs(error),
            ToolError::Process(error) => Self::Process(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tool::Beside;
    use super::*;

    fn environment() -> Environment {
        [("PATH", "/usr/bin:/bin")].into_iter().collect()
    }

    fn defaults() -> CompressOptions {
        CompressOptions::default()
    }

    /// Something like a module: repetitive, but not only.
    fn sample(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut byte = |i: usize| {
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12345);
            let noise = (state >> 16).to_le_bytes()[0];
            if i % 7 < 3 { noise & 0x1f } else { (i / 64).to_le_bytes()[0] }
        };
        (0..length).map(&mut byte).collect()
    }

    fn with(
        bytes: &[u8],
        compression: Compression,
        options: &CompressOptions,
        environment: &Environment,
    ) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hi.ko");
        fs::write_whole(&path, bytes, 0o640).unwrap();
        fs::set_mtime(&path, (1_700_000_000, 0)).unwrap();
        let target = compress(&path, compression, options, environment, &Beside).unwrap();
        let meta = fs::lstat(&target).unwrap().unwrap();
        assert_eq!((meta.mode() & 0o777, meta.mtime()), (0o640, 1_700_000_000));
        assert_eq!(fs::list(dir.path()).unwrap().len(), 1);
        fs::read(&target).unwrap()
    }

    #[test]
    fn our_bytes_are_the_tools() {
        // An option that changes nothing sends us to the tool.
        let tools = CompressOptions {
            gzip: "-6".into(),
            xz: format!("{DEFAULT_XZ_OPTS} -T1"),
            zstd: format!("{DEFAULT_ZSTD_OPTS} -3"),
        };
        for length in [0, 1, 5_000, 300_000, 700_000, 5_000_000] {
            for compression in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
                let bytes = sample(length);
                let own = with(&bytes, compression, &defaults(), &environment());
                let tool = with(&bytes, compression, &tools, &environment());
                assert!(own == tool, "{compression:?} of {length} bytes: {} and {}", own.len(), tool.len());
            }
        }
    }

    #[test]
    fn no_program_is_needed() {
        let bytes = sample(100_000);
        let nowhere = [("PATH", "/nonexistent")].into_iter().collect();
        for compression in [Compression::Xz, Compression::Zstd] {
            let packed = with(&bytes, compression, &defaults(), &nowhere);
            assert!(super::super::content::unpack(packed, 1 << 20).unwrap() == bytes);
        }
        let packed = with(&bytes, Compression::Gzip, &defaults(), &nowhere);
        let tools = with(&bytes, Compression::Gzip, &defaults(), &environment());
        // Magic, flags, time, operating system, name.
        assert_eq!(packed[..17], tools[..17]);
        assert!(super::super::content::unpack(packed, 1 << 20).unwrap() == bytes);
    }

    #[test]
    fn a_tool_that_fails_leaves_the_module() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hi.ko");
        fs::write_whole(&path, b"module", 0o644).unwrap();
        let options = CompressOptions { xz: "--no-such-option".into(), ..defaults() };
        let error =
            compress(&path, Compression::Xz, &options, &environment(), &Beside).unwrap_err().to_string();
        assert!(error.contains("xz --no-such-option -f") && error.contains("hi.ko"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"module");
        assert_eq!(fs::list(dir.path()).unwrap().len(), 1);
        assert_eq!(compress(&path, Compression::None, &options, &environment(), &Beside).unwrap(), path);
    }
}
