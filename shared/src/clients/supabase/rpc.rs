//! The one way to call an RPC: a struct of its arguments that carries its name and its result.

use serde::{Serialize, de::DeserializeOwned};

/// Arguments of an RPC function. A struct serialises to an object with the function's parameters as
/// keys; a function without parameters has a struct with empty braces. The struct is defined beside
/// the operation that calls the function, once for all its callers, and named after it: `…Call`.
pub trait Rpc: Serialize {
    /// Name of the function in the schema `public`.
    const NAME: &'static str;

    /// Whether a call may take as long as the database allows a statement to run. A call that takes
    /// that long is not retried.
    const IS_SLOW: bool = false;

    /// Result of the function, or [`IgnoredAny`](serde::de::IgnoredAny) if it is not needed.
    type Output: DeserializeOwned;
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use crate::clients::supabase::rpc_parameters;

    /// The text of every source file below a folder, without unit tests.
    fn sources(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push(text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned());
            }
        }
    }

    /// The name, and the parameters that the struct itself names, of every implementation of `Rpc`.
    fn calls() -> Vec<(String, Vec<String>)> {
        let mut files = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        let mut calls = Vec::new();
        for text in files {
            for implementation in text.split(" Rpc for ").skip(1) {
                let is_word = |c: char| c.is_alphanumeric() || c == '_';
                let end = implementation.find(|c| !is_word(c)).unwrap();
                let name = implementation.split("const NAME: &'static str = ").nth(1).unwrap();
                let Some(name) = name.strip_prefix('"') else { continue };
                let name = name.split('"').next().unwrap().to_owned();
                let defined = text.split(&format!("struct {}", &implementation[..end])).nth(1);
                let defined = defined.expect("the struct is defined in the file of its implementation");
                let fields = defined.split(['}', ';']).next().unwrap();
                let words = fields.split(|c| !is_word(c)).filter(|word| word.starts_with("p_"));
                calls.push((name, words.map(str::to_owned).collect()));
            }
        }
        calls
    }

    #[test]
    fn each_call_names_a_function_of_the_schema_and_its_parameters() {
        let functions = rpc_parameters();
        let calls = calls();
        assert!(calls.len() > 20, "only {} calls were found", calls.len());
        for (name, parameters) in &calls {
            let known = functions.get(name).unwrap_or_else(|| panic!("{name} is not a function"));
            for parameter in parameters {
                assert!(known.contains(parameter), "{name} does not have the parameter {parameter}");
            }
        }
    }

    #[test]
    fn each_function_has_one_struct() {
        let mut names: Vec<_> = calls().into_iter().map(|(name, _)| name).collect();
        names.sort();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
