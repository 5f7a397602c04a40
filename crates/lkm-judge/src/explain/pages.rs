//! The page of each rule, embedded.

macro_rules! pages {
    ($($id:literal),+ $(,)?) => {
        /// The page of a rule, as Markdown.
        pub fn page(rule: &str) -> Option<&'static str> {
            match rule {
                $($id => Some(include_str!(concat!("pages/", $id, ".md"))),)+
                _ => None,
            }
        }

        #[cfg(test)]
        const IDS: &[&str] = &[$($id),+];
    };
}

pages!(
    "autoload-deadlock",
    "autoload-result-ignored",
    "autoload-runaway",
    "cache-not-empty",
    "context-imbalance",
    "dangling-exit",
    "deadlock",
    "double-free",
    "double-register",
    "err-ptr-unchecked",
    "forced-unload",
    "init-return-value",
    "init-section-use",
    "invalid-free",
    "kthread-stop-after-exit",
    "kthread-stop-twice",
    "left-registered",
    "left-running",
    "livelock",
    "lock-order",
    "memory-leak",
    "missing-owner",
    "module-pinned",
    "module-ref-underflow",
    "mutex-misuse",
    "irq-unsafe-lock",
    "list-corruption",
    "no-release",
    "not-initialised",
    "oops",
    "out-of-bounds",
    "raw-syscall",
    "refcount-misuse",
    "release-unheld",
    "self-module-get",
    "sleep-in-atomic",
    "stack-overflow",
    "unload-hangs",
    "use-after-free",
    "wedged-module",
    "wild-access",
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::RULES;

    #[test]
    fn every_rule_has_its_page_and_every_page_its_rule() {
        for rule in RULES {
            let page = page(rule.id).unwrap_or_else(|| panic!("{} has no page", rule.id));
            assert!(page.starts_with(&format!("# {}\n", rule.id)), "{}", rule.id);
            for part in [
                "## What a real kernel does",
                "## Bad",
                "## Fix",
                "## How the lab sees it",
            ] {
                assert!(page.contains(part), "{} lacks {part}", rule.id);
            }
        }
        for id in IDS {
            assert!(crate::rules::rule(id).is_some(), "{id} is no rule");
        }
    }
}
