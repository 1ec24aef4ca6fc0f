//! The layers of `shared/src`: modules import only lower layers, and one name names one type. The
//! functions' dependencies contain one HTTP client and one TLS library.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use local_stack::{lambda, project};

/// The entries of `shared/src`, from the highest layer to the lowest.
const LAYERS: [&str; 9] =
    ["doctor", "runtime", "http", "jobs", "domain", "clients", "auth", "platform", "error"];

/// The modules of the domain that operations may import.
const SHARED_DOMAIN_MODULES: [&str; 5] =
    ["deliveries", "model", "idempotency", "pagination", "request_context"];

#[tokio::test]
async fn shared_modules_import_only_lower_layers() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/src");
    let mut entries = module_names(&root)?;
    entries.retain(|name| name != "lib" && sources(&root.join(name)).is_ok_and(|files| !files.is_empty()));
    entries.sort();
    let mut layers = LAYERS.map(str::to_owned).to_vec();
    layers.sort();
    ensure!(entries == layers, "expected the entries {layers:?} in shared/src, found {entries:?}");
    let mut violations = Vec::new();
    for (level, layer) in LAYERS.iter().enumerate() {
        for (file, text) in sources(&root.join(layer))? {
            let imports = first_segments(&text, "crate");
            let above = imports.iter().filter(|import| LAYERS[..level].contains(&import.as_str()));
            violations.extend(above.map(|import| format!("{file} imports {import}")));
        }
    }
    ensure!(violations.is_empty(), "{}", violations.join("\n"));
    Ok(())
}

#[tokio::test]
async fn domain_operations_do_not_import_each_other() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/src/domain");
    let modules = module_names(&root)?;
    let mut violations = Vec::new();
    for module in modules.iter().filter(|module| *module != "mod") {
        for (file, text) in sources(&root.join(module))? {
            for import in first_segments(&text, "crate::domain").into_iter().filter(|import| import != module)
            {
                if modules.contains(&import) && !SHARED_DOMAIN_MODULES.contains(&import.as_str()) {
                    violations.push(format!("{file} imports domain::{import}"));
                }
            }
        }
    }
    ensure!(violations.is_empty(), "{}", violations.join("\n"));
    Ok(())
}

/// Crates that a function contains in one version. A second version, or another crate for the same
/// purpose, makes every start slower.
const SINGLE: [&str; 5] = ["hyper", "reqwest", "rustls", "tokio-rustls", "webpki-roots"];
/// Crates that no function contains.
const ABSENT: [&str; 4] = ["h2", "native-tls", "openssl-sys", "ring"];

#[tokio::test]
async fn functions_contain_one_http_client_and_one_tls_library() -> Result<()> {
    for features in [&[][..], &["--all-features"]] {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(["tree", "--locked", "--offline", "--edges=normal", "--prefix=none", "--format={p}"]);
        lambda::clear_cargo_package_env(&mut command);
        let output = command.args(features).current_dir(project::root()).output()?;
        ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
        let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for line in String::from_utf8(output.stdout)?.lines().filter(|line| !line.contains("patches/")) {
            if let Some((name, version)) = line.split_once(" v") {
                versions.entry(name.to_owned()).or_default().insert(version.replace(" (*)", ""));
            }
        }
        let count = |name: &str| versions.get(name).map_or(0, BTreeSet::len);
        ensure!(
            count("route-events") == 1 && count("lambda_runtime") == 1,
            "not the functions: {versions:?}"
        );
        for (names, expected) in [(&SINGLE[..], 1), (&ABSENT[..], 0)] {
            let others = names.iter().filter(|name| count(name) != expected);
            let others: Vec<_> = others.map(|name| (name, versions.get(*name))).collect();
            ensure!(others.is_empty(), "expected {expected} version(s) with {features:?}: {others:?}");
        }
    }
    Ok(())
}

/// A type of each client: its errors, always written with the client's module.
const CLIENT_ERROR: &str = "Error";

/// Types that other modules can name.
#[tokio::test]
async fn one_name_names_one_type() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/src");
    let mut files: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for layer in LAYERS {
        for (file, text) in sources(&root.join(layer))? {
            let is_test = file.rsplit_once("/src/").is_some_and(|(_, path)| path.contains("/tests/"));
            for name in
                text.lines().filter_map(declared_type).filter(|name| *name != CLIENT_ERROR && !is_test)
            {
                files.entry(name.to_owned()).or_default().insert(file.clone());
            }
        }
    }
    ensure!(files.len() > 100, "found only {} types", files.len());
    let twice = files.iter().filter(|(_, files)| files.len() > 1);
    let twice: Vec<String> = twice.map(|(name, files)| format!("{name}: {files:?}")).collect();
    ensure!(twice.is_empty(), "types of the same name:\n{}", twice.join("\n"));
    Ok(())
}

/// The name of the struct, enum or trait that a line declares, unless it is private to its module.
fn declared_type(line: &str) -> Option<&str> {
    let line = line.trim_start().strip_prefix("pub")?;
    let line = line.split_once(") ").filter(|_| line.starts_with('(')).map_or(line, |(_, rest)| rest);
    let (keyword, rest) = line.trim_start().split_once(' ')?;
    let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    matches!(keyword, "struct" | "enum" | "trait").then_some(name)
}

/// The names of the modules in a folder.
fn module_names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let name =
        |entry: std::io::Result<fs::DirEntry>| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned());
    Ok(entries.filter_map(name).collect())
}

/// The paths and texts of the Rust files of a module, without tests.
fn sources(module: &Path) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let single = module.with_extension("rs");
    if single.is_file() {
        found.push((single.display().to_string(), without_tests(&fs::read_to_string(&single)?)));
    }
    if module.is_dir() {
        for entry in fs::read_dir(module)? {
            let path = entry?.path();
            if path.is_dir() {
                found.extend(sources(&path)?);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.to_string_lossy().ends_with("_tests.rs")
            {
                found.push((path.display().to_string(), without_tests(&fs::read_to_string(&path)?)));
            }
        }
    }
    Ok(found)
}

/// The text of a file without comments and unit tests.
fn without_tests(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The path segments that follow `prefix::`, also in `use prefix::{a::…, b}`.
fn first_segments(text: &str, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (parent, last) =
        prefix.rsplit_once("::").map_or((None, prefix), |(parent, last)| (Some(parent), last));
    for tree in trees(text, parent, last) {
        if let Some(list) = tree.strip_prefix('{') {
            let mut depth = 0;
            let mut segment = String::new();
            let mut is_complete = false;
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        found.push(std::mem::take(&mut segment));
                        is_complete = false;
                    }
                    _ if depth == 0 && !is_complete && (c.is_alphanumeric() || c == '_') => segment.push(c),
                    ':' | ' ' if depth == 0 && !segment.is_empty() => is_complete = true,
                    _ => {}
                }
            }
            found.push(segment);
        } else {
            found.push(tree.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    found.retain(|segment| !segment.is_empty());
    found
}

/// The text after each `last::` that follows `parent::`, directly or in its braces.
fn trees(text: &str, parent: Option<&str>, last: &str) -> Vec<String> {
    let needle = format!("{last}::");
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let starts = text.match_indices(&needle).filter(|(at, _)| {
        let before = &text[..*at];
        match parent {
            None => !before.ends_with(is_word),
            Some(parent) => {
                before.ends_with(&format!("{parent}::"))
                    || (!before.ends_with(is_word)
                        && !before.ends_with(':')
                        && before
                            .rsplit(';')
                            .next()
                            .is_some_and(|item| item.contains(&format!("use {parent}::{{"))))
            }
        }
    });
    starts.map(|(at, _)| text[at + needle.len()..].to_owned()).collect()
}
