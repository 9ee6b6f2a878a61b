//! Pagination by cursor: `?limit=` 1..200 and an opaque `?cursor=` that belongs to one list.

use jaego_contracts::cursor;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::problem::{Problem, ProblemKind};

const LIMIT_DEFAULT: i64 = 50;
const LIMIT_MAX: i64 = 200;

/// The query of a list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Maximum number of items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i64>,
    /// `next_cursor` of the previous page.
    #[param(example = "b3JkZXJzCjAxYTIwNTFiLWNlYzItN2YwOS04YTFjLTViN2UyZDQwYzhmMw")]
    cursor: Option<String>,
}

/// A checked [`PageQuery`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Maximum number of items to return.
    pub limit: i64,
    /// Key of the last item of the previous page.
    pub after: Option<String>,
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Paged<T> {
    /// Items of the page.
    pub items: Vec<T>,
    /// Cursor of the next page; null on the last page.
    #[schema(required, example = "b3JkZXJzCjAxYTIwNTFiLWNlYzItN2YwOS04YTFjLTViN2UyZDQwYzhmMw")]
    pub next_cursor: Option<String>,
}

impl PageQuery {
    /// Checks the query; a cursor of another list than `list` is refused.
    pub fn page(&self, list: &str) -> Result<Page, Problem> {
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Problem::new(ProblemKind::InvalidRequest, "limit: must be 1 to 200.").with("field", "limit"));
        }
        let after =
            self.cursor.as_deref().map(|text| cursor::read(list, text).ok_or_else(foreign_cursor)).transpose()?;
        Ok(Page { limit, after })
    }
}

impl Page {
    /// Returns the id of the last item of the previous page, in a list whose keys are ids.
    pub fn after_id(&self) -> Result<Option<Uuid>, Problem> {
        self.after.as_deref().map(|text| text.parse().map_err(|_| foreign_cursor())).transpose()
    }

    /// Number of rows to fetch: one more than requested, which shows whether there is a next page.
    pub fn fetch(&self) -> i64 {
        self.limit + 1
    }

    /// Makes a page of `items`, which were fetched with [`Page::fetch`]; `key` returns the key of an item.
    pub fn answer<T>(&self, list: &str, mut items: Vec<T>, key: impl Fn(&T) -> String) -> Paged<T> {
        let wanted = usize::try_from(self.limit).unwrap_or_default();
        let more = items.len() > wanted;
        items.truncate(wanted);
        let next_cursor = items.last().filter(|_| more).map(|item| cursor::write(list, &key(item)));
        Paged { items, next_cursor }
    }
}

fn foreign_cursor() -> Problem {
    let detail = "cursor: not a cursor of this list; start again without one.";
    Problem::new(ProblemKind::InvalidRequest, detail).with("field", "cursor")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_on_and_only_in_its_own_list() {
        let page = PageQuery { limit: Some(2), cursor: None }.page("stock").expect("valid");
        let answer = page.answer("stock", vec![1, 2, 3], ToString::to_string);
        assert_eq!(answer.items, [1, 2]);
        let query = PageQuery { limit: None, cursor: answer.next_cursor };
        assert_eq!(query.page("stock").expect("valid").after.as_deref(), Some("2"));
        assert!(query.page("orders").is_err());
        assert!(page.answer("stock", vec![1, 2], ToString::to_string).next_cursor.is_none());
        for limit in [0, -1, 201] {
            assert!(PageQuery { limit: Some(limit), cursor: None }.page("stock").is_err());
        }
    }
}
