"""What the checks say, in Chinese: the texts of each part are in a module of their own, and those of findings here."""

from cni.doctor.chinese import calico, node, spiderpool

TEXTS = {**node.TEXTS, **spiderpool.TEXTS, **calico.TEXTS}  # by the checks' ids

# Why a finding matters that has a reason of its own.
WHYS = {
    "Calico programs the address alone, and refuses a result with a subnet.": (
        "Calico 只配置地址本身，会拒绝带有子网的结果。"
    ),
    "The plugin ignores a key that it does not know.": "插件会忽略它不认识的键。",
    "An agent that is busy takes some seconds, and the pod's ADD then fails.": (
        "agent 繁忙时需要几秒才能应答，此时 Pod 的 ADD 会失败。"
    ),
    "Calico's plugin then refuses every ADD: “Calico is currently not ready to process requests”.": (
        "此时 Calico 的插件会拒绝每次 ADD：“Calico is currently not ready to process requests”。"
    ),
}
