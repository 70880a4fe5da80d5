//! The master key: 256 bits in a file of the operator's, from which every other key of the service is derived.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use kit::{Fault, Result};
use ring::hkdf;
use ring::rand::{SecureRandom as _, SystemRandom};

const BYTES: usize = 32;
/// 64 hexadecimal digits and a line end.
const FILE_BYTES_MAX: u64 = 66;
/// Readable by nobody but its owner.
const MODE: u32 = 0o600;

/// Whoever has it can read all personal data and sign in as anybody. Never prints.
#[derive(Clone)]
pub struct MasterKey([u8; BYTES]);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

impl MasterKey {
    /// The key in the file at `path` (32 raw bytes or 64 hexadecimal digits); makes file and key when there is none.
    /// Two processes that start together end up with the same key.
    pub fn load_or_create(path: &Path) -> Result<Self> {
        if let Some(key) = load(path)? {
            return Ok(key);
        }
        create(path)?;
        load(path)?.ok_or_else(|| Fault::internal(format!("the master key {} is gone again", path.display())))
    }

    /// From 64 hexadecimal digits, as an operator's secret store may hand it over.
    pub fn from_hex(text: &str) -> Result<Self> {
        let wrong = || Fault::internal("a master key is 64 hexadecimal digits");
        let digits = text.trim().as_bytes();
        if digits.len() != BYTES * 2 {
            return Err(wrong());
        }
        let mut key = [0_u8; BYTES];
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let value = |digit: u8| char::from(digit).to_digit(16).and_then(|v| u8::try_from(v).ok());
            let (high, low) = value(pair[0]).zip(value(pair[1])).ok_or_else(wrong)?;
            *byte = high << 4 | low;
        }
        Ok(Self(key))
    }

    /// 32 bytes for one purpose (HKDF-SHA256, RFC 5869): they tell nothing about the master key or one another.
    pub(super) fn derive(&self, purpose: &str) -> Result<[u8; 32]> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"jangteo member master key v1");
        let root = salt.extract(&self.0);
        let mut out = [0_u8; 32];
        root.expand(&[purpose.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|material| material.fill(&mut out))
            .map_err(|_| Fault::internal("a key cannot be derived"))?;
        Ok(out)
    }
}

fn load(path: &Path) -> Result<Option<MasterKey>> {
    let cannot = |e: std::io::Error| Fault::internal(format!("cannot read the master key {}: {e}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(cannot(e)),
    };
    let mode = file.metadata().map_err(cannot)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "the master key can be read by others than its owner");
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if let Ok(key) = <[u8; BYTES]>::try_from(bytes.as_slice()) {
        return Ok(Some(MasterKey(key)));
    }
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let wrong = |_| Fault::internal(format!("{} is not a master key: 32 bytes or 64 hex digits", path.display()));
    MasterKey::from_hex(text).map(Some).map_err(wrong)
}

/// Written aside and then linked, so that nobody ever sees half a key and nobody's key is overwritten.
fn create(path: &Path) -> Result<()> {
    let cannot = |e: std::io::Error| Fault::internal(format!("cannot make the master key {}: {e}", path.display()));
    let mut random = [0_u8; BYTES + 8];
    SystemRandom::new().fill(&mut random).map_err(|_| Fault::internal("no randomness for a master key"))?;
    let (key, mark) = random.split_at(BYTES);
    let mark = mark.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let aside = folder.join(format!(".master-key-{mark}"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&aside).map_err(cannot)?;
    let written = file.write_all(key).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| match std::fs::hard_link(&aside, path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    });
    // A file left aside does no harm, and the outcome of the link is what matters.
    let _ = std::fs::remove_file(&aside);
    linked.and_then(|()| File::open(folder)?.sync_all()).map_err(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("master.key");
        let made = MasterKey::load_or_create(&path).expect("made");
        assert_eq!(std::fs::metadata(&path).expect("file").permissions().mode() & 0o777, MODE);
        assert_eq!(std::fs::read(&path).expect("file").len(), BYTES);
        assert_eq!(MasterKey::load_or_create(&path).expect("loaded").0, made.0);
        assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 1, "nothing is left aside");
    }

    #[test]
    fn hex_is_taken_and_anything_else_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("master.key");
        std::fs::write(&path, format!("{}\n", "0F".repeat(32))).expect("file");
        assert_eq!(MasterKey::load_or_create(&path).expect("hex").0, [0x0f; 32]);
        for bad in ["", "short", &"0f".repeat(33), &"zz".repeat(32)] {
            std::fs::write(&path, bad).expect("file");
            assert!(MasterKey::load_or_create(&path).is_err(), "{bad:?}");
        }
        assert_eq!(std::fs::read_to_string(&path).expect("file"), "zz".repeat(32), "a wrong key is left as it is");
    }

    #[test]
    fn purposes_have_keys_of_their_own() {
        let key = MasterKey([7; 32]);
        assert_ne!(key.derive("a").expect("key"), key.derive("b").expect("key"));
        assert_eq!(key.derive("a").expect("key"), key.derive("a").expect("key"));
        assert_eq!(format!("{key:?}"), "[secret]");
    }
}
