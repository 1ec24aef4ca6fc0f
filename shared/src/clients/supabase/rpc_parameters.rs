//! The parameters of the RPCs, for tests.

use std::collections::BTreeMap;

/// The schema as the migrations create it; a test of the doctor compares the two.
const MANIFEST: &str = include_str!("../../doctor/manifest.json");

/// Parameters of every function of the schema `public`.
pub(crate) fn rpc_parameters() -> BTreeMap<String, Vec<String>> {
    let manifest: serde_json::Value = serde_json::from_str(MANIFEST).unwrap();
    let signatures = manifest["schema"]["functions"].as_object().unwrap().keys();
    let public = signatures.filter_map(|signature| signature.strip_prefix("public."));
    let parse = |signature: &str| {
        let (name, parameters) = signature.trim_end_matches(')').split_once('(').unwrap();
        let names = parameters.split(", ").filter_map(|one| one.split(' ').next());
        (name.to_owned(), names.map(str::to_owned).collect())
    };
    public.map(parse).collect()
}
