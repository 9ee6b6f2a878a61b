//! The topology and its users' rights as RabbitMQ definitions, to apply to a broker or to compare a broker with. They
//! contain no passwords.

use serde_json::{Value, json};

use super::topology::{User, definitions};

/// Returns exchanges, queues, bindings, permissions and topic permissions in the virtual host `vhost`. A user's name
/// is `prefix` followed by the program's name.
pub fn with_rights(vhost: &str, prefix: &str) -> Value {
    let Value::Object(mut all) = definitions() else { return Value::Null };
    for items in all.values_mut().filter_map(Value::as_array_mut) {
        for item in items.iter_mut().filter_map(Value::as_object_mut) {
            item.insert("vhost".to_owned(), json!(vhost));
        }
    }
    let (mut permissions, mut topic_permissions) = (Vec::new(), Vec::new());
    for user in User::ALL {
        let (name, rights) = (format!("{prefix}{}", user.name()), user.permissions());
        permissions.push(json!({
            "user": name, "vhost": vhost, "configure": rights.configure, "write": rights.write, "read": rights.read,
        }));
        for topic in rights.topics {
            topic_permissions.push(json!({
                "user": name, "vhost": vhost, "exchange": topic.exchange, "write": topic.write, "read": topic.read,
            }));
        }
    }
    all.insert("permissions".to_owned(), permissions.into());
    all.insert("topic_permissions".to_owned(), topic_permissions.into());
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_in_the_virtual_host_and_no_password_anywhere() {
        let all = with_rights("jaego", "t_");
        for (kind, items) in all.as_object().expect("an object") {
            let items = items.as_array().expect("a list");
            assert!(!items.is_empty(), "{kind}");
            assert!(items.iter().all(|item| item["vhost"] == "jaego"), "{kind}");
        }
        assert_eq!(all["permissions"].as_array().map(Vec::len), Some(User::ALL.len()));
        assert_eq!(all["permissions"][0]["user"], "t_sales");
        assert!(!all.to_string().contains("password"));
    }
}
