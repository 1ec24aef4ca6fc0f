//! References to secrets: `secretsmanager:<name or ARN>[#<key>]` and `ssm:<name>`.

use serde_json::Value;

use crate::platform::parse;

const SECRETS_MANAGER: &str = "secretsmanager:";
const PARAMETER_STORE: &str = "ssm:";

/// Limit of Secrets Manager for an ARN or a name, and of the Parameter Store for an ARN.
const MAX_ID: usize = 2048;

/// A secret in its store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretId {
    /// Name or ARN of a secret of AWS Secrets Manager.
    SecretsManager(String),
    /// Name or ARN of a SecureString of the AWS Systems Manager Parameter Store.
    ParameterStore(String),
}

/// A value of a variable that names a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretReference {
    pub id: SecretId,
    /// The member to take, if the secret is a JSON object.
    pub json_key: Option<String>,
}

impl SecretReference {
    /// Parses a value. Returns `None` if it is not a reference.
    ///
    /// # Errors
    /// Returns a description of the expected format.
    pub fn parse(value: &str) -> Option<Result<Self, String>> {
        if let Some(rest) = value.strip_prefix(SECRETS_MANAGER) {
            let (id, json_key) = match rest.split_once('#') {
                Some((id, key)) => (id, Some(key.to_owned())),
                None => (rest, None),
            };
            let is_valid = is_id(id) && json_key.as_deref() != Some("");
            let reference = Self { id: SecretId::SecretsManager(id.to_owned()), json_key };
            return Some(is_valid.then_some(reference).ok_or_else(|| {
                "must be secretsmanager:<name or ARN>, with #<key> at its end for a member of a JSON secret"
                    .to_owned()
            }));
        }
        let id = value.strip_prefix(PARAMETER_STORE)?;
        let reference = Self { id: SecretId::ParameterStore(id.to_owned()), json_key: None };
        let is_valid = is_id(id) && !id.contains('#');
        Some(is_valid.then_some(reference).ok_or_else(|| "must be ssm:<name of a SecureString>".to_owned()))
    }

    /// Returns the references in a value: the value itself, or those among the texts of a JSON
    /// object. Malformed references are left out, because the parser of the variable reports them.
    pub fn find_all(value: &str) -> Vec<Self> {
        if let Some(parsed) = Self::parse(value) {
            return parsed.into_iter().collect();
        }
        let mut found = Vec::new();
        if value.starts_with('{') {
            collect(&serde_json::from_str(value).unwrap_or_default(), &mut found);
        }
        found
    }

    /// Returns the value that this reference names in the text of its secret. Spaces around it are
    /// removed, as around the value of a variable.
    ///
    /// # Errors
    /// Returns the reason if the text has no such member, or an empty one.
    pub(super) fn select(&self, text: &str) -> Result<String, String> {
        let selected = match &self.json_key {
            None => text.trim().to_owned(),
            Some(key) => {
                let object: Option<Value> = parse::json(text.as_bytes()).ok();
                let object = object.ok_or("names a key of a secret that is not JSON")?;
                let member = object[key.as_str()].as_str();
                member.ok_or("names a key that the secret does not have, or not as a text")?.trim().to_owned()
            }
        };
        if selected.is_empty() { Err("names a secret that is empty".to_owned()) } else { Ok(selected) }
    }
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_ID && id.bytes().all(|byte| byte.is_ascii_graphic())
}

fn collect(value: &Value, found: &mut Vec<SecretReference>) {
    match value {
        Value::String(text) => found.extend(SecretReference::parse(text).and_then(Result::ok)),
        Value::Object(members) => members.values().for_each(|member| collect(member, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &str) -> SecretReference {
        SecretReference::parse(value).unwrap().unwrap()
    }

    #[test]
    fn reference_names_a_store_an_id_and_a_key() {
        let by_name = parsed("secretsmanager:chatkit-sessions/keys#supabase");
        assert_eq!(by_name.id, SecretId::SecretsManager("chatkit-sessions/keys".to_owned()));
        assert_eq!(by_name.json_key.as_deref(), Some("supabase"));
        let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:keys-AbCdEf";
        let by_arn = parsed(&format!("secretsmanager:{arn}"));
        assert_eq!((by_arn.id, by_arn.json_key), (SecretId::SecretsManager(arn.to_owned()), None));
        assert_eq!(parsed("ssm:/chatkit/key").id, SecretId::ParameterStore("/chatkit/key".to_owned()));
        for plain in ["sb_secret_x", "", "ssm", "secretsmanager", "SSM:/a", "{\"a\": \"ssm:/b\"}"] {
            assert!(SecretReference::parse(plain).is_none(), "{plain}");
        }
        for malformed in ["secretsmanager:", "secretsmanager:a#", "secretsmanager:a b", "ssm:", "ssm:/a#b"] {
            assert!(SecretReference::parse(malformed).is_some_and(|parsed| parsed.is_err()), "{malformed}");
        }
    }

    #[test]
    fn references_are_found_in_a_value_and_in_its_json() {
        assert_eq!(SecretReference::find_all("ssm:/a"), [parsed("ssm:/a")]);
        let credentials =
            r#"{"a": {"origin": "https://a.example", "bearer": "ssm:/a"}, "b": {"bearer": "plain"}}"#;
        assert_eq!(SecretReference::find_all(credentials), [parsed("ssm:/a")]);
        assert!(SecretReference::find_all("sb_secret_x").is_empty());
        assert!(SecretReference::find_all("{not JSON ssm:/a").is_empty());
    }

    #[test]
    fn selected_value_is_trimmed_and_never_quoted_in_errors() {
        assert_eq!(parsed("ssm:/a").select(" t0ken\n").unwrap(), "t0ken");
        let key = parsed("secretsmanager:a#key");
        assert_eq!(key.select(r#"{"key": "t0ken ", "other": "x"}"#).unwrap(), "t0ken");
        for wrong in ["t0ken", r#"{"other": "t0ken"}"#, r#"{"key": {"t0ken": 1}}"#, r#"{"key": " "}"#] {
            let reason = key.select(wrong).unwrap_err();
            assert!(!reason.contains("t0ken"), "{reason}");
        }
    }
}
