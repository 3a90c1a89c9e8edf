"""The texts of the checks of SpiderPool, in Chinese."""

from cni.doctor.check import Texts

TEXTS = {
    "sp-api": Texts(
        "API 是否提供 SpiderPool 的资源",
        "没有这些资源，就没有 IP 池，也没有从池中分配地址的 agent。",
        "用 helm 安装 SpiderPool。0.4 之前的版本使用的是另外的资源，请升级。",
    ),
    "sp-agents": Texts(
        "每个装有本插件的节点（没有这样的节点时为每个节点）上是否有 Ready 的 spiderpool-agent Pod",
        "节点上没有 agent，Pod 就得不到地址，地址也无法归还。",
        (
            "查明该 Pod 为何无法运行：节点上有 DaemonSet 不容忍的污点、nodeSelector 不匹配、镜像拉取失败，或者看"
            " agent 退出时的输出。"
        ),
    ),
    "sp-controller": Texts(
        "Deployment spiderpool-controller，以及其 webhook 的端点",
        (
            "API 修改 IP 池时要调用 controller 的 webhook，因此没有 controller 就无法修改 IP 池；已消失的 Pod 的地"
            "址也会一直被占用。"
        ),
        "查明它的 Pod 为何没有运行：它们在等待什么，退出时又输出了什么。",
    ),
    "sp-multus-network": Texts(
        "1.1.0 或更新版本的 agent，其环境变量 MULTUS_CLUSTER_NETWORK",
        (
            "缺少这个变量时，这样的 agent 会拒绝每个 Pod 的 eth0：“cluster-network multus isn't set”。除非设置了"
            " multus.multusCNI.defaultCniCRName，否则 SpiderPool 的 chart 不会写入它，即使没有安装 Multus 也是如此。"
        ),
        (
            "把 helm 的 multus.multusCNI.defaultCniCRName 设为 Calico 网络的名称。也可以在 Pod 的注解"
            " `v1.multus-cni.io/default-network` 中指定。"
        ),
    ),
    "sp-multus-changed": Texts(
        "Multus 与 spiderpool-agent 所指的是否为同一个网络，以及该网络是否已定义",
        "SpiderPool 按照它所认为的 Multus 默认网络选择 IP 池，而 Multus 会去查找这个网络。",
        "让两者使用同一个名称，并定义该网络。",
    ),
    "sp-detection": Texts(
        "spiderpool-conf 中的 enableIPConflictDetection 和 enableGatewayDetection",
        (
            "Calico 在 Pod 有接口之前就请求地址，因此无从探测。此时 SpiderPool 自带的插件每次 ADD 都会失败，报“Link"
            " not found”；本插件则不做探测，直接给出地址。"
        ),
        "把两者都关闭。",
    ),
    "sp-gc": Texts(
        "controller 是否回收已消失的 Pod 的地址，以及回收的周期",
        "Pod 结束时没有归还的地址，会一直被占用，直到 controller 回收。",
        "把 helm 的 ipam.gc.enabled 设为 true，ipam.gc.gcAll.intervalInSecond 设为 600，其余相关选项保持开启。",
    ),
    "sp-default-pool": Texts(
        "装有本插件的节点上有未指定 IP 池的 Pod 时，是否有可供它们使用的池",
        "没有这样的池，未指定 IP 池的 Pod 就无法启动：“no pool selection rules of any type are specified”。",
        (
            "为每个地址族设一个默认池，或者在命名空间或 Pod 的注解中指定池。在 conflist 中设置本插件的"
            " `default_ipv4_ippool` 和 `default_ipv6_ippool` 也可以，但 `--cluster-only` 看不到它们。"
        ),
    ),
    "sp-pool-full": Texts(
        "每个池已占用多少地址，excludeIPs 和 SpiderReservedIP 不计在内",
        (
            "池中没有剩余地址时，新的 Pod 无法启动。占用达到九成即为警告。SpiderPool 为某个应用创建的池，地址数与该应"
            "用的 Pod 所需的数量相当：这样的池用满时为警告。"
        ),
        (
            "先看 `sp-leaked`：其中可能有已消失的 Pod 的地址。然后在池的 `ips` 中添加地址段；它们必须在池的 subnet "
            "之内，如果池属于某个 SpiderSubnet，也必须在其中，并且必须在覆盖该池的 Calico IPPool 之内。如果池"
            "的记录数已达到 SpiderPool 保留的上限，请另建一个池。"
        ),
    ),
    "sp-annotations": Texts(
        "Pod、模板和命名空间中指定 SpiderPool 的池或子网的注解",
        "注解无法满足时，SpiderPool 会拒绝为 Pod 分配地址，Pod 就无法启动。",
        (
            '指定一个存在的池：`ipam.spidernet.io/ippool: \'{"ipv4": ["POOL"]}\'`。不由工作负载创建的 Pod，在等待'
            "启动期间可以直接修改注解；其他 Pod 请修改模板。"
        ),
    ),
    "sp-pool-overlaps": Texts(
        "池的地址段是否与节点、路由器、Service 的地址以及池自身的网关重叠",
        "Pod 得到的地址如果正由其他主机使用，要么抢占对方的地址，要么自己收不到报文。",
        "保留该地址，使新的 Pod 不再得到它，并删除已占用它的 Pod。与 Service 网段重叠的地址段必须更换。",
    ),
    "sp-leaked": Texts(
        "已消失或一直无法结束的 Pod 在池中占用、且超过两个回收周期的地址",
        "这些地址已没有 Pod 使用，也不会再分配给其他 Pod。",
        "重启 spiderpool-controller：它启动时会检查所有记录，释放没有 Pod 需要的地址。其余地址为何保留，见它的日志。",
    ),
    "sp-duplicates": Texts(
        "被两个运行中的 Pod、一个 Pod 和一个节点，或 SpiderPool 和 calico-ipam 同时占用的地址",
        "发往这种地址的报文最多只能到达两者之一。",
        "删除 SpiderPool 的记录中没有的那个 Pod，它会得到另一个地址。",
    ),
    "sp-wrong-address": Texts(
        "带有 SpiderPool 注解的 Pod，以及节点的 conflist 替换之后创建的 Pod，它们的地址",
        "这些 Pod 的地址是在 conflist 未指定本插件期间由别的 IPAM 分配的，并不是所要求的地址。",
        "等 `node-conflist` 恢复正常后删除这些 Pod：重建后，它们会得到 SpiderPool 的地址。",
    ),
    "sp-coordinator": Texts(
        "插件链中有 `coordinator` 插件时，各个 SpiderCoordinator",
        (
            "该插件让发往 Calico Pod 的报文经由节点转发。它的 SpiderCoordinator 不是 Synced 时，它会失败；在"
            " SpiderPool 1.2.2 及之前的版本中，它不知道已禁用的 IPPool。"
        ),
        (
            "把 podCIDRType 设为 none，并在 hijackCIDR 中列出这些地址段，或者使用更新版本的 SpiderPool。phase 为"
            " NotReady 时，其 reason 说明 controller 无法读取什么。"
        ),
    ),
}
