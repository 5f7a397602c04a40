//! Attribute groups (fs/sysfs/group.c): several files at once, in a directory of their own or beside the object's.

use super::{Kind, add, dir_of, path, place, remove_name};
use crate::abi::{R, errno::*};
use crate::drivers::kobject;
use crate::{Cx, trace};

/// The attributes that an attribute_group lists: (attributes, binary attributes), visible ones only.
fn group_attrs(cx: &mut Cx, kobj: u64, group: u64) -> R<(Vec<u64>, Vec<u64>)> {
    // struct attribute_group: name, is_visible, is_bin_visible, attrs, bin_attrs (6.12 the same).
    let [visible, bin_visible, attrs, bins] = [8, 16, 24, 32].map(|at| cx.r64(group + at));
    let mut out = (Vec::new(), Vec::new());
    for (list, check, to) in [
        (attrs?, visible?, &mut out.0),
        (bins?, bin_visible?, &mut out.1),
    ] {
        if list == 0 {
            continue;
        }
        for index in 0..1024u64 {
            let attr = cx.r64(list + index * 8)?;
            if attr == 0 {
                break;
            }
            if check != 0 && cx.call_guest(check, &[kobj, attr, index]) & 0xffff == 0 {
                continue;
            }
            to.push(attr);
        }
    }
    Ok(out)
}

/// sysfs_create_group. `tell` records the group.
pub fn create_group(cx: &mut Cx, kobj: u64, group: u64, tell: bool) -> R<i32> {
    let Some(dir) = dir_of(cx, kobj)? else {
        crate::traps::warn(cx, "", "internal_create_group")?;
        return Ok(-EINVAL);
    };
    let name_at = cx.r64(group)?;
    if cx.r64(group + 24)? == 0 && cx.r64(group + 32)? == 0 {
        let label = kobject::name(cx, kobj)?;
        let name = if name_at == 0 {
            String::new()
        } else {
            cx.text(name_at)?
        };
        crate::traps::warn(
            cx,
            &format!("sysfs: (bin_)attrs not set by subsystem for group: {label}/{name}\n"),
            "internal_create_group",
        )?;
        return Ok(-EINVAL);
    }
    let group_name = if name_at == 0 {
        None
    } else {
        let name = cx.text(name_at)?;
        let error = add(cx, dir, &name, Kind::Dir(0), None)?;
        if error != 0 {
            return Ok(error);
        }
        Some(name)
    };
    let (attrs, bins) = group_attrs(cx, kobj, group)?;
    let mut made: Vec<String> = Vec::new();
    for (attr, bin) in attrs
        .into_iter()
        .map(|a| (a, false))
        .chain(bins.into_iter().map(|a| (a, true)))
    {
        let Some(dir) = place(cx, kobj, group_name.as_deref())? else {
            return Ok(-ENOENT);
        };
        let name_at = cx.r64(attr)?;
        let name = cx.text(name_at)?;
        let kind = if bin {
            Kind::Bin(kobj, attr)
        } else {
            Kind::File(kobj, attr)
        };
        let error = add(cx, dir, &name, kind, None)?;
        if error != 0 {
            for name in made {
                remove_name(cx, kobj, group_name.as_deref(), &name)?;
            }
            if let Some(name) = group_name {
                remove_name(cx, kobj, None, &name)?;
            }
            return Ok(error);
        }
        made.push(name);
    }
    if tell {
        let detail = format!(
            "{}/{}",
            path(cx, dir),
            group_name.clone().unwrap_or_else(|| made.join(","))
        );
        // The entry that carries the group goes with the directory or with its first file.
        let carrier = match (&group_name, made.first()) {
            (Some(name), _) | (None, Some(name)) => cx.sysfs.nodes[dir].children.get(name).copied(),
            _ => None,
        };
        if let Some(node) = carrier {
            cx.sysfs.nodes[node].told = Some(("sysfs group", group));
            trace::acquired(cx, "sysfs group", group, &detail);
        }
    }
    Ok(0)
}

/// sysfs_remove_group.
pub fn remove_group(cx: &mut Cx, kobj: u64, group: u64) -> R<()> {
    let name_at = cx.r64(group)?;
    if name_at != 0 {
        let name = cx.text(name_at)?;
        if !remove_name(cx, kobj, None, &name)? {
            let label = kobject::name(cx, kobj)?;
            crate::traps::warn(
                cx,
                &format!("sysfs group '{name}' not found for kobject '{label}'\n"),
                "sysfs_remove_group",
            )?;
        }
        return Ok(());
    }
    for list in [24, 32] {
        let list = cx.r64(group + list)?;
        if list == 0 {
            continue;
        }
        for index in 0..1024u64 {
            let attr = cx.r64(list + index * 8)?;
            if attr == 0 {
                break;
            }
            let name_at = cx.r64(attr)?;
            let name = cx.text(name_at)?;
            remove_name(cx, kobj, None, &name)?;
        }
    }
    Ok(())
}

/// The groups of a NULL-terminated array; NULL is none.
fn group_list(cx: &Cx, groups: u64) -> R<Vec<u64>> {
    let mut out = Vec::new();
    if groups != 0 {
        for index in 0..256u64 {
            match cx.r64(groups + index * 8)? {
                0 => break,
                group => out.push(group),
            }
        }
    }
    Ok(out)
}

/// sysfs_create_groups.
pub fn create_groups(cx: &mut Cx, kobj: u64, groups: u64, tell: bool) -> R<i32> {
    let list = group_list(cx, groups)?;
    for (index, &group) in list.iter().enumerate() {
        let error = create_group(cx, kobj, group, tell)?;
        if error != 0 {
            for &group in list[..index].iter().rev() {
                remove_group(cx, kobj, group)?;
            }
            return Ok(error);
        }
    }
    Ok(0)
}

/// sysfs_remove_groups.
pub fn remove_groups(cx: &mut Cx, kobj: u64, groups: u64) -> R<()> {
    for group in group_list(cx, groups)? {
        remove_group(cx, kobj, group)?;
    }
    Ok(())
}
