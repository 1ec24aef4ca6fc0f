//! References to secrets in the values of variables.

use serde_json::Value;
use shared::platform::secret::Secret;

/// A variable's value that names a secret of AWS Secrets Manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretReference {
    /// A name or an ARN.
    pub secret_id: String,
    /// A member of the secret's JSON. `None` for the whole text.
    pub json_key: Option<String>,
    /// Whether CloudFormation writes the secret into the function's variable at a deployment.
    pub is_copied: bool,
}

impl SecretReference {
    /// Parses CloudFormation's dynamic reference, `{{resolve:secretsmanager:ID:SecretString:KEY}}`, or
    /// the form that functions read at run time, `secretsmanager:ID#KEY`.
    pub fn parse(value: &str) -> Option<Self> {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        if let Some(dynamic) = value.strip_prefix("{{resolve:secretsmanager:") {
            let (id, rest) = dynamic.strip_suffix("}}")?.split_once(":SecretString")?;
            let json_key = rest.strip_prefix(':').and_then(|rest| some(rest.split(':').next()?));
            return Some(Self { secret_id: id.to_owned(), json_key, is_copied: true });
        }
        let named = value.strip_prefix("secretsmanager:")?;
        let (id, key) = named.split_once('#').unwrap_or((named, ""));
        Some(Self { secret_id: id.to_owned(), json_key: some(key), is_copied: false })
    }

    /// Returns the part of a secret that the variable holds. `None` if the secret does not have it.
    pub fn part_of(&self, secret: &Secret) -> Option<Secret> {
        let Some(key) = &self.json_key else { return Some(secret.clone()) };
        let json: Value = serde_json::from_str(secret.expose()).ok()?;
        json[key.as_str()].as_str().map(Secret::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_of_deployments_and_of_run_time_are_parsed() {
        let arn = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:chat-AbCdEf";
        for (text, expected) in [
            ("{{resolve:secretsmanager:chat/key:SecretString}}", Some(("chat/key", None, true))),
            ("{{resolve:secretsmanager:chat:SecretString:member}}", Some(("chat", Some("member"), true))),
            ("{{resolve:secretsmanager:chat:SecretString::AWSCURRENT}}", Some(("chat", None, true))),
            (&format!("{{{{resolve:secretsmanager:{arn}:SecretString}}}}"), Some((arn, None, true))),
            ("secretsmanager:chat/key", Some(("chat/key", None, false))),
            (&format!("secretsmanager:{arn}#member"), Some((arn, Some("member"), false))),
            ("https://project.supabase.co", None),
            ("", None),
        ] {
            let expected = expected.map(|(id, key, is_copied)| SecretReference {
                secret_id: id.to_owned(),
                json_key: key.map(str::to_owned),
                is_copied,
            });
            assert_eq!(SecretReference::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn part_of_a_secret_is_its_text_or_a_member() {
        let reference = |key: Option<&str>| SecretReference {
            secret_id: "chat".to_owned(),
            json_key: key.map(str::to_owned),
            is_copied: true,
        };
        let secret = Secret::new(r#"{"member":"value","other":1}"#);
        let part = |key| reference(key).part_of(&secret).map(|part| part.expose().to_owned());
        assert_eq!(part(None).as_deref(), Some(secret.expose()));
        assert_eq!(part(Some("member")).as_deref(), Some("value"));
        assert_eq!(part(Some("other")), None);
        assert_eq!(part(Some("absent")), None);
    }
}
