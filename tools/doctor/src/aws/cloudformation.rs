//! CloudFormation, whose API takes forms and returns XML.

use std::collections::BTreeMap;

use reqwest::Method;
use roxmltree::{Document, Node};
use serde_json::Value;
use shared::platform::parse::Timestamp;
use url::form_urlencoded;

use super::{Answer, Aws, Reason, Unanswered};

/// A stack, as CloudFormation describes it.
#[derive(Clone, Debug, Default)]
pub struct StackSummary {
    pub arn: String,
    pub status: String,
    pub parameters: BTreeMap<String, String>,
}

/// A resource of a stack.
#[derive(Clone, Debug)]
pub struct StackResource {
    /// The logical id.
    pub id: String,
    pub physical_id: String,
    /// The last deployment that changed the resource.
    pub updated: Option<Timestamp>,
}

impl Aws {
    pub async fn describe_stack(&self, name: &str) -> Answer<StackSummary> {
        const ACTION: &str = "cloudformation:DescribeStacks";
        let form = [("Action", "DescribeStacks"), ("StackName", name)];
        let xml = self.query(ACTION, &form).await.map_err(|unanswered| {
            // CloudFormation's code for a stack that does not exist.
            let is_missing = unanswered.has_code("ValidationError");
            if is_missing { Unanswered { reason: Reason::Missing, ..unanswered } } else { unanswered }
        })?;
        let read = || {
            let document = Document::parse(&xml).ok()?;
            let stack = members(document.root_element(), "Stacks").next()?;
            let parameters = members(stack, "Parameters").filter_map(|one| {
                Some((text(one, "ParameterKey")?, text(one, "ParameterValue").unwrap_or_default()))
            });
            Some(StackSummary {
                arn: text(stack, "StackId")?,
                status: text(stack, "StackStatus")?,
                parameters: parameters.collect(),
            })
        };
        read().ok_or_else(|| Unanswered::unreadable(ACTION))
    }

    pub async fn stack_resources(&self, name: &str) -> Answer<Vec<StackResource>> {
        const ACTION: &str = "cloudformation:ListStackResources";
        let mut resources = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let mut form = vec![("Action", "ListStackResources"), ("StackName", name)];
            form.extend(next.as_deref().map(|token| ("NextToken", token)));
            let xml = self.query(ACTION, &form).await?;
            let document = Document::parse(&xml).map_err(|_| Unanswered::unreadable(ACTION))?;
            let root = document.root_element();
            resources.extend(members(root, "StackResourceSummaries").filter_map(|one| {
                Some(StackResource {
                    id: text(one, "LogicalResourceId")?,
                    physical_id: text(one, "PhysicalResourceId")?,
                    updated: text(one, "LastUpdatedTimestamp").and_then(|time| Timestamp::parse(&time)),
                })
            }));
            next = root
                .descendants()
                .find(|node| node.has_tag_name_of("NextToken"))
                .and_then(|node| node.text().map(str::to_owned));
            if next.is_none() {
                return Ok(resources);
            }
        }
    }

    /// Reads the template as SAM has transformed it.
    pub async fn template(&self, name: &str) -> Answer<Value> {
        const ACTION: &str = "cloudformation:GetTemplate";
        let form = [("Action", "GetTemplate"), ("StackName", name), ("TemplateStage", "Processed")];
        let xml = self.query(ACTION, &form).await?;
        let read = || {
            let document = Document::parse(&xml).ok()?;
            let body = document.descendants().find(|node| node.has_tag_name_of("TemplateBody"))?;
            serde_json::from_str(body.text()?).ok()
        };
        read().ok_or_else(|| Unanswered::unreadable(ACTION))
    }

    async fn query(&self, action: &'static str, form: &[(&str, &str)]) -> Answer<String> {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(form).append_pair("Version", "2010-05-15");
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let body = body.finish().into_bytes();
        let response = self.send(action, "cloudformation", Method::POST, "/", &headers, body).await?;
        String::from_utf8(response.body.to_vec()).map_err(|_| Unanswered::unreadable(action))
    }
}

/// Comparison of names without their namespace, which differs between the versions of an API.
trait LocalName {
    fn has_tag_name_of(&self, name: &str) -> bool;
}

impl LocalName for Node<'_, '_> {
    fn has_tag_name_of(&self, name: &str) -> bool {
        self.is_element() && self.tag_name().name() == name
    }
}

/// Returns the members of the first list with this name.
fn members<'a, 'input>(node: Node<'a, 'input>, list: &str) -> impl Iterator<Item = Node<'a, 'input>> {
    let list = node.descendants().find(|node| node.has_tag_name_of(list));
    list.into_iter().flat_map(|list| list.children()).filter(|node| node.has_tag_name_of("member"))
}

/// Returns the text of a child.
fn text(node: Node<'_, '_>, name: &str) -> Option<String> {
    let child = node.children().find(|node| node.has_tag_name_of(name))?;
    child.text().map(str::to_owned)
}
