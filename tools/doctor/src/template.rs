//! A stack's own template after SAM's transformation, with its references resolved: what was
//! deployed, and what the checks expect.
//! Source: <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html>

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Where a stack is, and its name.
#[derive(Clone, Debug, Default)]
pub struct StackIdentity {
    pub name: String,
    pub arn: String,
    pub partition: String,
    pub region: String,
    pub account: String,
}

impl StackIdentity {
    /// Reads the parts of a stack's ARN.
    pub fn from_arn(arn: &str) -> Option<Self> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let [_, partition, _, region, account, resource] = parts[..] else { return None };
        let name = resource.split('/').nth(1)?;
        let [name, arn, partition, region, account] =
            [name, arn, partition, region, account].map(str::to_owned);
        Some(Self { name, arn, partition, region, account })
    }
}

/// A template, with the values of its parameters and the ids of its resources.
#[derive(Clone, Debug, Default)]
pub struct Template {
    pub body: Value,
    pub stack: StackIdentity,
    pub parameters: BTreeMap<String, String>,
    /// Physical ids by logical ids.
    pub physical_ids: BTreeMap<String, String>,
}

/// A resource of a template. The properties have no references left. A reference that cannot be
/// resolved is `null`, and is not compared.
#[derive(Clone, Debug)]
pub struct Resource<'a> {
    /// The logical id.
    pub id: &'a str,
    pub physical_id: &'a str,
    /// The program of a function.
    pub program: Option<&'a str>,
    pub properties: Value,
}

impl Template {
    /// Returns the resources of a type that the stack has.
    pub fn resources(&self, kind: &str) -> Vec<Resource<'_>> {
        let resources = self.body["Resources"].as_object().into_iter().flatten();
        let of_kind = resources.filter(|(_, resource)| resource["Type"] == kind);
        let deployed = of_kind
            .filter(|(_, resource)| resource["Condition"].as_str().is_none_or(|name| self.is_true(name)));
        let read = |(id, resource): (&'_ String, &'_ Value)| -> Option<Resource<'_>> {
            let (id, physical_id) = self.physical_ids.get_key_value(id)?;
            let program =
                self.body["Resources"][id.as_str()]["Metadata"]["BuildProperties"]["Binary"].as_str();
            let properties = self.resolve(&resource["Properties"]).unwrap_or_default();
            Some(Resource { id, physical_id, program, properties })
        };
        deployed.filter_map(read).collect()
    }

    fn is_true(&self, condition: &str) -> bool {
        self.holds(&self.body["Conditions"][condition])
    }

    fn holds(&self, condition: &Value) -> bool {
        let Some((function, argument)) = single_member(condition) else { return false };
        let arguments = argument.as_array().map(Vec::as_slice).unwrap_or_default();
        match (function, arguments) {
            ("Condition", _) => argument.as_str().is_some_and(|name| self.is_true(name)),
            ("Fn::Equals", [left, right]) => self.resolve(left) == self.resolve(right),
            ("Fn::Not", [negated]) => !self.holds(negated),
            ("Fn::And", all) => all.iter().all(|one| self.holds(one)),
            ("Fn::Or", any) => any.iter().any(|one| self.holds(one)),
            _ => false,
        }
    }

    /// Returns `None` for `AWS::NoValue`.
    fn resolve(&self, value: &Value) -> Option<Value> {
        if let Some((function, argument)) = single_member(value)
            && (function == "Ref" || function.starts_with("Fn::"))
        {
            return self.call(function, argument);
        }
        Some(match value {
            Value::Object(members) => {
                let members =
                    members.iter().filter_map(|(name, value)| Some((name.clone(), self.resolve(value)?)));
                Value::Object(members.collect::<Map<_, _>>())
            }
            Value::Array(values) => values.iter().filter_map(|value| self.resolve(value)).collect(),
            scalar => scalar.clone(),
        })
    }

    fn call(&self, function: &str, argument: &Value) -> Option<Value> {
        let arguments = argument.as_array().map(Vec::as_slice).unwrap_or_default();
        let text = |text: Option<String>| Some(text.map_or(Value::Null, Value::String));
        match (function, arguments) {
            ("Ref", _) if argument == "AWS::NoValue" => None,
            ("Ref", _) => text(self.reference(argument.as_str()?)),
            ("Fn::If", [condition, then, otherwise]) => {
                self.resolve(if self.is_true(condition.as_str()?) { then } else { otherwise })
            }
            ("Fn::GetAtt", [id, attribute]) => text(self.attribute(id.as_str()?, attribute.as_str()?)),
            ("Fn::Sub", [template, variables]) => text(self.substitute(template.as_str()?, variables)),
            ("Fn::Sub", _) => text(self.substitute(argument.as_str()?, &Value::Null)),
            ("Fn::Join", [separator, parts]) => {
                let parts = self.resolve(parts)?;
                let parts = parts.as_array()?.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
                text(parts.map(|parts| parts.join(separator.as_str().unwrap_or_default())))
            }
            _ => Some(Value::Null),
        }
    }

    fn reference(&self, name: &str) -> Option<String> {
        let stack = &self.stack;
        Some(match name {
            "AWS::AccountId" => stack.account.clone(),
            "AWS::Partition" => stack.partition.clone(),
            "AWS::Region" => stack.region.clone(),
            "AWS::StackId" => stack.arn.clone(),
            "AWS::StackName" => stack.name.clone(),
            "AWS::URLSuffix" if stack.partition == "aws-cn" => "amazonaws.com.cn".to_owned(),
            "AWS::URLSuffix" => "amazonaws.com".to_owned(),
            _ => self.parameters.get(name).or_else(|| self.physical_ids.get(name))?.clone(),
        })
    }

    /// Returns the attributes that the template uses. CloudFormation derives them from the physical
    /// id in the same way.
    fn attribute(&self, id: &str, attribute: &str) -> Option<String> {
        let physical_id = self.physical_ids.get(id)?;
        let StackIdentity { partition, region, account, .. } = &self.stack;
        // A queue's physical id is its URL.
        let queue = || physical_id.rsplit('/').next();
        let kind = self.body["Resources"][id]["Type"].as_str()?;
        Some(match (kind, attribute) {
            ("AWS::Lambda::Function", "Arn") => {
                format!("arn:{partition}:lambda:{region}:{account}:function:{physical_id}")
            }
            ("AWS::IAM::Role", "Arn") => format!("arn:{partition}:iam::{account}:role/{physical_id}"),
            ("AWS::SQS::Queue", "Arn") => format!("arn:{partition}:sqs:{region}:{account}:{}", queue()?),
            ("AWS::SQS::Queue", "QueueName") => queue()?.to_owned(),
            _ => return None,
        })
    }

    fn substitute(&self, template: &str, variables: &Value) -> Option<String> {
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}')?;
            text.push_str(before);
            match (name.strip_prefix('!'), variables.get(name), name.split_once('.')) {
                (Some(literal), _, _) => text.push_str(&format!("${{{literal}}}")),
                (_, Some(variable), _) => text.push_str(self.resolve(variable)?.as_str()?),
                (_, _, Some((id, attribute))) => text.push_str(&self.attribute(id, attribute)?),
                _ => text.push_str(&self.reference(name)?),
            }
            rest = after;
        }
        text.push_str(rest);
        Some(text)
    }
}

/// Returns the only member of an object.
fn single_member(value: &Value) -> Option<(&str, &Value)> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    members.iter().next().map(|(name, value)| (name.as_str(), value))
}

/// Returns whether a value of AWS differs from that of the template. Parameters are texts, also
/// those with numbers.
pub fn differs(expected: &Value, actual: &Value) -> bool {
    !expected.is_null() && to_text(expected) != to_text(actual)
}

/// Returns a value as a text, for a comparison or a detail.
pub fn to_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) => {
            number.as_f64().map_or_else(|| number.to_string(), |number| number.to_string())
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template() -> Template {
        Template {
            body: json!({
                "Conditions": {
                    "HasTopic": { "Fn::Not": [{ "Fn::Equals": [{ "Ref": "Topic" }, ""] }] },
                    "HasEither": { "Fn::Or": [{ "Condition": "HasTopic" }, { "Fn::Equals": [{ "Ref": "Days" }, "30"] }] }
                },
                "Resources": {
                    "Work": { "Type": "AWS::Lambda::Function", "Metadata": { "BuildProperties": { "Binary": "work" } } },
                    "Letters": { "Type": "AWS::SQS::Queue" },
                    "Absent": { "Type": "AWS::SQS::Queue", "Condition": "HasTopic" }
                }
            }),
            stack: StackIdentity::from_arn(
                "arn:aws:cloudformation:eu-central-1:111122223333:stack/chat/0a1b",
            )
            .unwrap(),
            parameters: [("Topic", ""), ("Days", "30")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            physical_ids: [
                ("Work", "chat-Work-1"),
                ("Letters", "https://sqs.eu-central-1.amazonaws.com/111122223333/chat-Letters-1"),
                ("Absent", "x"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        }
    }

    #[test]
    fn references_are_resolved_as_cloudformation_resolves_them() {
        let arn = "arn:aws:lambda:eu-central-1:111122223333:function:chat-Work-1";
        for (value, expected) in [
            (json!({ "Ref": "Days" }), Some(json!("30"))),
            (json!({ "Ref": "Work" }), Some(json!("chat-Work-1"))),
            (json!({ "Ref": "AWS::NoValue" }), None),
            (json!([{ "Ref": "AWS::NoValue" }, 1]), Some(json!([1]))),
            (json!({ "A": { "Ref": "AWS::NoValue" }, "B": true }), Some(json!({ "B": true }))),
            (json!({ "Fn::GetAtt": ["Work", "Arn"] }), Some(json!(arn))),
            (json!({ "Fn::GetAtt": ["Letters", "QueueName"] }), Some(json!("chat-Letters-1"))),
            (
                json!({ "Fn::GetAtt": ["Letters", "Arn"] }),
                Some(json!("arn:aws:sqs:eu-central-1:111122223333:chat-Letters-1")),
            ),
            (
                json!({ "Fn::Sub": "${AWS::StackName}/${Work.Arn}/${!kept}" }),
                Some(json!(format!("chat/{arn}/${{kept}}"))),
            ),
            (
                json!({ "Fn::Sub": ["${__Api__}!", { "__Api__": { "Ref": "Work" } }] }),
                Some(json!("chat-Work-1!")),
            ),
            (json!({ "Fn::If": ["HasTopic", 1, { "Ref": "AWS::NoValue" }] }), None),
            (json!({ "Fn::If": ["HasEither", 1, 2] }), Some(json!(1))),
            (json!({ "Fn::Join": ["-", ["a", { "Ref": "Days" }]] }), Some(json!("a-30"))),
            (json!({ "Fn::ImportValue": "x" }), Some(Value::Null)),
            (json!({ "Fn::Sub": "${Unknown}" }), Some(Value::Null)),
        ] {
            assert_eq!(template().resolve(&value), expected, "{value}");
        }
    }

    #[test]
    fn resources_without_their_condition_are_left_out() {
        let template = template();
        let ids = |kind| template.resources(kind).iter().map(|resource| resource.id).collect::<Vec<_>>();
        assert_eq!(ids("AWS::SQS::Queue"), ["Letters"]);
        assert_eq!(template.resources("AWS::Lambda::Function")[0].program, Some("work"));
    }

    #[test]
    fn numbers_and_texts_are_compared_by_value() {
        assert!(!differs(&json!("30"), &json!(30)));
        assert!(!differs(&json!(5), &json!(5.0)));
        assert!(!differs(&Value::Null, &json!(5)));
        assert!(differs(&json!(5), &Value::Null));
        assert!(differs(&json!(5), &json!(6)));
    }
}
