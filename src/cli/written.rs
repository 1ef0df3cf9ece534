//! Files that a person names to be written: what of the shop they must not be. Writes nothing itself.

use std::io::Read as _;
use std::path::Path;

use rustix::fs::{Access, access};

use crate::config::{self, Config};
use crate::intake::rejects;
use crate::store::files;

use super::{Context, WrongUse};

/// Octets of a file that show whether it is one of rejected rows.
const BEGINNING: u64 = 64;

/// Refuses what the shop lives on: the store and what lies beside it, the configuration, campaigns and definitions.
pub(super) fn refuse_own(context: &Context, config: Option<&Config>, file: &Path) -> Result<(), WrongUse> {
    let refused = |what: String| Err(WrongUse(format!("{} {what}; name another file", file.display())));
    let store = config.and_then(|config| files::of_url(&config.store.url));
    if let Some(store) = files::owner(store, file) {
        return refused(format!("belongs to the store at {}", store.display()));
    }
    let Some(config) = config else { return Ok(()) };
    if files::is_one(context.path().unwrap_or(Path::new(config::FILE)), file) {
        return refused("is the configuration".to_owned());
    }
    let end = files::end_of(file);
    let is_toml = end.extension().is_some_and(|end| end == "toml");
    for (folder, what) in
        [(&config.campaigns_folder, "campaigns"), (&config.providers_folder, "provider definitions")]
    {
        if is_toml && end.starts_with(files::end_of(folder)) {
            return refused(format!("is where {what} are read from"));
        }
    }
    Ok(())
}

/// Refuses a file for rejected rows that is something else, or that cannot be written as far as can be seen before.
/// `input` is the file that is read.
pub(super) fn refuse_rejects(file: &Path, input: &Path) -> Result<(), WrongUse> {
    let refused = |what: String| Err(WrongUse(format!("--rejects: {} {what}", file.display())));
    let facts = std::fs::metadata(file);
    if facts.as_ref().is_ok_and(std::fs::Metadata::is_file) && files::is_one(file, input) {
        return refused("is the file that is read; name another one, or it would be overwritten".to_owned());
    }
    match facts {
        Ok(facts) if facts.is_dir() => refused("is a folder; name a file in it".to_owned()),
        Ok(facts) if facts.is_file() && facts.len() > 0 && !holds_rejects(file) => refused(
            "is there and holds no rejected rows, so it is not replaced; name another file".to_owned(),
        ),
        Ok(_) => writable(file).or_else(|error| refused(format!("cannot be written: {error}"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let end = files::end_of(file);
            let folder = end.parent().filter(|folder| folder.is_dir());
            match folder.map(writable) {
                Some(Ok(())) => Ok(()),
                Some(Err(error)) => refused(format!("cannot be written: {error}")),
                None => refused("lies in no folder that is there; make it, or name another file".to_owned()),
            }
        }
        Err(error) => refused(format!("cannot be written: {error}")),
    }
}

fn writable(path: &Path) -> std::io::Result<()> {
    Ok(access(path, Access::WRITE_OK)?)
}

fn holds_rejects(file: &Path) -> bool {
    let mut beginning = Vec::new();
    let read = std::fs::File::open(file).and_then(|file| file.take(BEGINNING).read_to_end(&mut beginning));
    read.is_ok() && rejects::begins(&beginning)
}
