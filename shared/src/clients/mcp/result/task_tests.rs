//! The optional members of a task.

use super::*;

#[test]
fn unreadable_optional_members_of_a_task_are_ignored() {
    let completed = completed(structured(&json!({
        "status": "completed",
        "tasks": [
            {"id": "a", "title": "t", "status": "running", "description": {}, "dueAt": "tomorrow", "escalationId": 7},
            {"id": "b", "title": "t", "status": "running", "description": "é".repeat(2001),
             "dueAt": "1969-12-31T23:59:59Z", "escalationId": null},
            {"id": "c", "title": "t", "status": "running", "description": ""},
        ],
    })));
    let [a, b, c] = completed.tasks.as_slice() else { panic!("{:?}", completed.tasks) };
    assert_eq!((&a.description, a.due_at, a.escalation_id), (&None, None, None));
    assert_eq!(b.description.as_ref().map(|text| text.chars().count()), Some(2000));
    assert_eq!((b.due_at, &c.description), (None, &None));
}
