//! Lists the files of `providers/` for `provider::catalog` to compile in, so that adding one needs no list to edit.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=providers");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("providers");
    let mut paths = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        paths.extend(path.extension().is_some_and(|extension| extension == "toml").then_some(path));
    }
    paths.sort();
    let mut list = String::from("&[\n");
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or("a path that is no UTF-8")?;
        // Named from the package's folder, so that a build folder still serves when the package has moved.
        let place = format!("concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/providers/{name}\")");
        writeln!(list, "    ({name:?}, include_str!({place})),")?;
    }
    list.push(']');
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo tells a build script its place through the environment"
    )]
    let out = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    fs::write(Path::new(&out).join("providers.rs"), list)?;
    Ok(())
}
