use crate::domain::chat::protocol::UserContent;

/// Maximum number of characters of a title.
const MAX_TITLE: usize = 60;

/// Returns the first words of a thread's first message, or `None` if it has no text.
pub fn title(content: &[UserContent]) -> Option<String> {
    let mut text = String::new();
    for part in content {
        match part {
            UserContent::Text { text: part } => text.push_str(part),
            UserContent::Tag { text: tag, .. } => {
                text.push('@');
                text.push_str(tag);
            }
        }
    }
    let is_break = |c: char| c.is_whitespace() || c.is_control();
    let words: Vec<_> = text.split(is_break).filter(|word| !word.is_empty()).collect();
    let whole = words.join(" ");
    if whole.chars().count() <= MAX_TITLE {
        return (!whole.is_empty()).then_some(whole);
    }
    // One character is for the ellipsis.
    let max_chars = MAX_TITLE - 1;
    let begin: String = whole.chars().take(max_chars).collect();
    let ends_word = whole.chars().nth(max_chars) == Some(' ');
    let begin = match begin.rfind(' ') {
        Some(space) if !ends_word => &begin[..space],
        _ => &begin,
    };
    Some(format!("{begin}…"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn title_is_the_first_words_of_at_most_60_characters() {
        let text = |text: &str| UserContent::Text { text: text.to_owned() };
        let words = "What do we owe to our suppliers in the south of the country this month?";
        let long = "x".repeat(100);
        let exact = "y".repeat(60);
        for (content, expected) in [
            (vec![text("What do we owe?")], Some("What do we owe?")),
            (vec![text("  What\n do\twe\u{0}owe?  ")], Some("What do we owe?")),
            (vec![text(words)], Some("What do we owe to our suppliers in the south of the country…")),
            (
                vec![text("What do we owe to the suppliers in the northern countries of Europe?")],
                Some("What do we owe to the suppliers in the northern countries…"),
            ),
            (vec![text(&exact)], Some(exact.as_str())),
            (vec![text(&long)], Some(&*format!("{}…", "x".repeat(59)))),
            (vec![text(&format!("{} z", "é".repeat(59)))], Some(&*format!("{}…", "é".repeat(59)))),
            (vec![text(" \n")], None),
            (vec![], None),
        ] {
            let title = title(&content);
            assert_eq!(title.as_deref(), expected, "{content:?}");
            assert!(title.is_none_or(|title| title.chars().count() <= 60));
        }
    }

    #[test]
    fn title_contains_the_texts_of_tags() {
        let tag = UserContent::Tag {
            id: "acme".to_owned(),
            text: "ACME".to_owned(),
            data: serde_json::Map::new(),
            group: None,
            interactive: false,
        };
        let text = UserContent::Text { text: "Pay ".to_owned() };
        assert_eq!(title(&[text, tag]).as_deref(), Some("Pay @ACME"));
    }
}
