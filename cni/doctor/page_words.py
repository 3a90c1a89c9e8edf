"""The words around the texts of checks, in each language: of `--explain`, and of the pages of documentation."""

from dataclasses import dataclass

from cni.contracts.doctor import Part
from cni.doctor.languages import Language


@dataclass(frozen=True)
class Words:
    """What stands around a check's texts."""

    explained: str
    needs: str
    titles: dict[Part, str]
    looks_at: str
    before_install: str
    to_do: str
    reference: str
    headings: dict[Part, str]
    columns: tuple[str, ...]
    yes: str


_ENGLISH = Words(
    explained="It looks at {looks_at}.",
    needs="It needs: {facts}.",
    titles={
        "node": "What doctor checks on a node",
        "spiderpool": "What doctor checks of SpiderPool",
        "calico": "What doctor checks of Calico",
    },
    looks_at="**Looks at** {looks_at}. Severity of what it finds: **{severity}**, unless a finding says otherwise.",
    before_install=" It has to hold before `install`, too (`--pre`).",
    to_do="**What to do:** ",
    reference="""# Checks

{note}

These are the checks that `spiderpool-ipam doctor` makes. The name of a check leads to the section that says why it
matters, and how to mend what it finds. `doctor --explain ID` prints the same, and `doctor --list` prints this list. A
name is never used again for another check.

The severity is that of what a check finds, if the finding does not say otherwise. A *failure* makes the exit status 1.
A *warning* does so with `--fail-on warning`. An *information* never does. The last column says which checks
`doctor --pre` makes, before an installation.

`doctor` says what a check looks at, why it matters and what to do in the language of the caller's locale (`LC_ALL`,
`LC_MESSAGES` or `LANG`), if that is Chinese, and in English otherwise. `--lang en` and `--lang zh` choose the language.
What was seen, and the names of results, are in English. What `--json` prints is in English whoever calls it, so that
programs can rely on it; only `--lang zh` changes that.
""",
    headings={"node": "On a node", "spiderpool": "Of SpiderPool", "calico": "Of Calico"},
    columns=("Check", "Severity", "What it looks at", "Before installation"),
    yes="yes",
)
_CHINESE = Words(
    explained="检查对象：{looks_at}。",
    needs="所需数据：{facts}。",
    titles={
        "node": "doctor 在节点上检查什么",
        "spiderpool": "doctor 对 SpiderPool 检查什么",
        "calico": "doctor 对 Calico 检查什么",
    },
    looks_at="**检查对象**：{looks_at}。除非另有说明，查出的问题属于 **{severity}**。",
    before_install="在 `install` 之前也必须满足（`--pre`）。",
    to_do="**处理办法**：",
    reference="""# 检查项

{note}

`spiderpool-ipam doctor` 会进行以下检查。点击检查项的名称，可以看到它为什么重要，以及查出问题后如何修复。\
`doctor --explain ID` 输出同样的内容，`doctor --list` 输出本列表。已用过的名称不会再用于其他检查。

除非查出的问题另有说明，其严重程度如表中所列。*failure* 使退出码为 1。\
*warning* 仅在使用 `--fail-on warning` 时如此。*information* 从不影响退出码。\
最后一列表示 `doctor --pre` 在安装之前会进行哪些检查。

检查对象、为什么重要以及处理办法，`doctor` 按调用者的区域设置\
（`LC_ALL`、`LC_MESSAGES` 或 `LANG`）输出：设置为中文时用中文，否则用英文。\
也可以用 `--lang en` 和 `--lang zh` 指定语言。实际看到的内容和结果的名称始终是英文。\
`--json` 的输出无论由谁调用都是英文，便于程序处理；只有 `--lang zh` 会改变这一点。
""",
    headings={"node": "节点", "spiderpool": "SpiderPool", "calico": "Calico"},
    columns=("检查项", "严重程度", "检查对象", "安装之前"),
    yes="是",
)
WORDS: dict[Language, Words] = {"en": _ENGLISH, "zh": _CHINESE}
