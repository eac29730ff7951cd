// SPDX-License-Identifier: GPL-2.0-or-later
//! A map for what has a few entries nearly always, and many now and then.
//!
//! Owns that choice: a list of exactly what is in it, or a hash table. A CHILD_SA has two SAs and three policies, for
//! which a table of the standard library reserves twice their room; one with a hundred selectors has thousands. Called by
//! whoever keeps something per CHILD_SA.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::hash::Hash;

/// Entries up to which looking at each is as fast as hashing.
const FEW: usize = 8;

/// See the [module](self).
#[derive(Debug)]
pub(crate) enum Few<K, V> {
    /// In no order.
    List(Vec<(K, V)>),
    /// It had more than a list is good for.
    Table(HashMap<K, V>),
}

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl<K: Eq + Hash, V> Few<K, V> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Table(table) => table.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        match self {
            Self::List(list) => list.iter().find(|(one, _)| one == key).map(|(_, v)| v),
            Self::Table(table) => table.get(key),
        }
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        match self {
            Self::List(list) => list.iter_mut().find(|(one, _)| one == key).map(|(_, v)| v),
            Self::Table(table) => table.get_mut(key),
        }
    }

    /// The value that was there before is returned.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some(there) = self.get_mut(&key) {
            return Some(std::mem::replace(there, value));
        }
        match self {
            Self::Table(table) => {
                table.insert(key, value);
            }
            Self::List(list) if list.len() < FEW => {
                list.reserve_exact(1);
                list.push((key, value));
            }
            Self::List(list) => {
                let mut table: HashMap<K, V> = std::mem::take(list).into_iter().collect();
                table.insert(key, value);
                *self = Self::Table(table);
            }
        }
        None
    }

    /// Memory is given back with the last entry.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let value = match self {
            Self::List(list) => {
                let at = list.iter().position(|(one, _)| one == key)?;
                list.swap_remove(at).1
            }
            Self::Table(table) => table.remove(key)?,
        };
        if self.is_empty() {
            *self = Self::default();
        }
        Some(value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let (list, table) = match self {
            Self::List(list) => (Some(list), None),
            Self::Table(table) => (None, Some(table)),
        };
        let list = list.into_iter().flatten().map(|(key, value)| (key, value));
        list.chain(table.into_iter().flatten())
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        let (list, table) = match self {
            Self::List(list) => (Some(list), None),
            Self::Table(table) => (None, Some(table)),
        };
        let list = list
            .into_iter()
            .flatten()
            .map(|(key, value)| (&*key, value));
        list.chain(table.into_iter().flatten())
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.iter_mut().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_map_however_many_there_are() {
        let mut few = Few::default();
        for number in 0..3 * FEW {
            assert_eq!(few.insert(number, 0), None);
            assert_eq!(few.insert(number, number), Some(0));
            assert_eq!(few.len(), number + 1);
            assert_eq!(matches!(few, Few::Table(_)), number >= FEW);
            let mut keys: Vec<usize> = few.keys().copied().collect();
            keys.sort_unstable();
            assert_eq!(keys, (0..=number).collect::<Vec<_>>());
            assert!(few.iter().all(|(key, value)| key == value));
        }
        few.values_mut().for_each(|value| *value += 1);
        for number in 0..3 * FEW {
            assert_eq!(few.get(&number), Some(&(number + 1)));
            assert_eq!(few.remove(&number), Some(number + 1));
            assert_eq!(few.get_mut(&number), None);
            assert_eq!(few.remove(&number), None);
        }
        assert!(few.is_empty() && few.values().next().is_none());
        assert!(matches!(few, Few::List(list) if list.capacity() == 0));
    }
}
