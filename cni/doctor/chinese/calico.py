"""The texts of the checks of Calico, in Chinese."""

from cni.doctor.check import Texts

TEXTS = {
    "calico-version": Texts(
        "Calico 的版本，以及其数据存储是否就绪",
        "BIRD 导出什么、Felix 做什么，在某些方面取决于版本。",
        (
            "版本本身没有对错。数据存储未就绪，说明它为迁移而被锁定：请完成迁移，或用 `calicoctl datastore migrate"
            " unlock` 解锁。"
        ),
    ),
    "calico-backend": Texts(
        "calico-node 是否运行 BIRD：calico_backend、operator 的 `bgp`、CALICO_NETWORKING_BACKEND",
        "没有 BIRD 就没有 BGP，节点之外无从得知到其 Pod 的路由。",
        "把后端设为 bird，或把 Installation 的 `bgp` 设为 Enabled，然后重启 calico-node。",
    ),
    "calico-reverts": Texts(
        "Calico 往 conflist 中写入哪个 IPAM，以及本节点能否保持使用本插件",
        (
            "calico-node 每次启动都会重写 conflist。在它被再次替换之前启动的 Pod，得到的是 Calico 自己的 IPAM 的地"
            "址，路由器没有到这些地址的单独路由。"
        ),
        (
            "让 `spiderpool-ipam watch` 保持运行，或者用 `--as` 安装，并取一个排序在 Calico 的文件之前的文件名。没"
            "有使用 operator 时，还要修改 ConfigMap calico-config 中的 ipam.type；operator 没有这项设置。"
        ),
    ),
    "calico-pool-covers": Texts(
        "用于 Calico 网络的每个 SpiderIPPool 的每个地址段是否都在某个 IPPool 之内",
        "只有 IPPool 覆盖了 Pod 的地址，BIRD 才会导出它；否则外部没有到该 Pod 的路由。",
        (
            "创建一个 IPPool，其 cidr 为 SpiderPool 的子网。`disabled: true` 使 Calico 自己的 IPAM 不从中分配地址，"
            "但不影响 BIRD 导出这些地址。Calico 不允许修改 IPPool 的 cidr：范围过小的 IPPool 必须删除重建，其间到它范"
            "围内所有 Pod 的路由都会消失。由 operator 持有的 IPPool 要在 Installation 中修改。multusName 只列出其他网"
            "络的 SpiderIPPool 不需要 IPPool。"
        ),
    ),
    "calico-pool-exports": Texts(
        "每个与 SpiderIPPool 的地址段重叠的 IPPool 的 disableBGPExport",
        "只要有一个这样的池，BIRD 就不会导出其中的地址，即使另有一个覆盖它并允许导出的池。",
        "把 disableBGPExport 设为 false（由 operator 持有的池，在 Installation 中设置）。",
    ),
    "calico-blocks": Texts(
        "SpiderIPPool 的地址中是否有 Calico 自己的 IPAM 的地址块，以及其中的地址由谁持有",
        (
            "拥有地址块的节点向路由器通告整个块，而发往其中位于其他节点的地址的报文，到达后会被它丢弃。并且 Calico 自"
            "己的 IPAM 会把其中的地址分给别的 Pod。"
        ),
        (
            "在 IPPool 中设置 `disabled: true`，使其不再分出新的块。然后重启持有其中地址的 Pod。空的块由"
            " kube-controllers 释放；如果没有释放，请删除该块及其亲和性记录。"
        ),
    ),
    "calico-pool-disabled": Texts(
        "Calico 自己的 IPAM 是否可以从覆盖 SpiderPool 地址段的 IPPool 中分配地址",
        (
            "两个 IPAM 从同一段地址中分配，会把同一个地址分配两次。而且 Calico 自己的 IPAM 在其中取得地址块后，拥有"
            "该块的节点会丢弃发往其他节点 Pod 的报文。"
        ),
        (
            "在 IPPool 中设置 `disabled: true`（由 operator 管理时为 `disableNewAllocations`）。BIRD 照样导出其中的"
            "地址。之后 `calicoctl ipam check` 会报告 SpiderPool 的 Pod 不在任何启用的池中：确实如此，但这不是故障。"
            "SpiderPool 1.2.2 及之前的版本不会把已禁用的池计入 SpiderCoordinator 的 overlayPodCIDR，这只影响含有"
            " `coordinator` 的插件链。"
        ),
    ),
    "calico-pool-encap": Texts(
        "覆盖 SpiderPool 地址段的 IPPool 的 ipipMode 和 vxlanMode",
        (
            "对于 VXLAN 池，BIRD 把到其他节点 Pod 的路由交给 Felix（自 Calico 3.33 起，IPIP 池也是如此），而 Felix "
            "从地址块得知路由，SpiderPool 的地址却不属于任何块。于是节点之间只能经由路由器到达对方的 Pod；开启全互"
            "联时，路由器还可能把报文发给一个又把它发回来的节点。"
        ),
        (
            "把两者都设为 Never（由 operator 管理该池时为 `encapsulation: None`）：BGP 不需要隧道。如果确实需要隧道，请"
            "在所有节点上把 Felix 的 routeSource 设为 WorkloadIPs：这样 Felix 就知道每个 Pod 的位置。"
        ),
    ),
    "calico-nat": Texts(
        "覆盖 SpiderPool 地址段的 IPPool 的 natOutgoing",
        "启用后，在所有 IPPool 之外的对端看到的是节点的地址，而不是 Pod 的地址。",
        "如果要让外部看到 Pod 自己的地址（路由器有到它们的路由），请设为 false。",
    ),
    "felix-route-source": Texts(
        "在 Felix 自己必须知道到其他节点 Pod 的路由时，它的 routeSource",
        (
            "使用 eBPF、WireGuard、隧道或由 Felix 下发路由时，Felix 必须知道每个 Pod 在哪个节点上。默认情况下，它从"
            " Calico 自己的 IPAM 的地址块得知，而 SpiderPool 的地址不属于任何块。"
        ),
        (
            "把 routeSource 设为 WorkloadIPs。此后每个 Felix 都会读取集群中所有的 WorkloadEndpoint，在大集群中会占"
            "用内存，因此只在需要时设置。"
        ),
    ),
    "felix-ipv6": Texts(
        "有 IPv6 池时，Felix 的 ipv6Support",
        "没有启用它，Felix 就不为 Pod 配置 IPv6。Calico 自己的清单默认把它关闭。",
        (
            "把 calico-node 的 FELIX_IPV6SUPPORT 设为 true。如果 calico-node 由 operator 创建，只要 Installation 中"
            "有 nodeAddressAutodetectionV6 或 IPv6 池，它就会自动设置这个变量。"
        ),
    ),
    "bgp-refused": Texts(
        "BGPPeer、BGPFilter、BGPConfiguration 和节点中会被 BIRD 或 confd 拒绝的值",
        (
            "只要有一个这样的值，整份配置都会被拒绝，即使没有对等体用到它。BIRD 继续使用之前的配置，此后对任何对象的修"
            "改都不会生效；重新启动的 BIRD 则完全没有配置。"
        ),
        (
            "改正该值。calicoctl 不会接受这样的值；而用 kubectl 写入 crd.projectcalico.org/v1 的内容，Calico 不作任何检"
            "查。"
        ),
    ),
    "bgp-peer-per-node": Texts(
        "对每个使用中的地址族，每个节点是否都有 BGP 会话：BGPPeer 或全互联",
        "没有会话的节点，既不向外通告自己的 Pod 的路由，也学不到其他节点的路由。",
        "让某个 BGPPeer 选中该节点：用 nodeSelector，或用 node；两者都不写则选中所有节点。",
    ),
    "bgp-filter": Texts(
        "BGPPeer 引用的 BGPFilter 拒绝了 SpiderIPPool 地址段中的哪些部分",
        "被某个对等体的过滤器拒绝的地址，无论 IPPool 如何设置，都不会导出给该对等体。",
        "让过滤器在拒绝它的规则之前先接受该子网，或者从对等体上去掉这个过滤器。",
    ),
    "bgp-mesh-and-router": Texts(
        "在有 eBGP 路由器的同时，节点间的全互联是否开启",
        (
            "每个节点都会把从全互联学到的路由再通告给路由器。于是对每个 Pod 的地址，路由器从每个节点都得到一条等价路"
            "径，会把一部分报文发给 Pod 不在其上的节点。"
        ),
        (
            "先让每个节点都与路由器建立自己的会话：在此之前，全互联可能是到达其 Pod 的唯一途径。然后，如果节点的默认路"
            "由指向路由器，请按指南关闭全互联；否则保留全互联，并给 BGPPeer 加一个只导出本节点自身路由的 BGPFilter（"
            "Calico 3.28 起支持）：`exportV4: [{action: Reject, source: RemotePeers}]`，`exportV6` 也相同。"
        ),
    ),
    "bgp-as": Texts(
        "节点与其 BGPPeer 的 AS 号",
        (
            "与节点同属一个 AS 的路由器，除非是路由反射器，否则不会把从一个节点学到的路由再通告给另一个节点。因此关闭全"
            "互联后，节点之间互相不知道对方的路由。"
        ),
        "让路由器成为这些节点的路由反射器，或给它另一个 AS 号，或开启全互联。",
    ),
    "bgp-node-address": Texts(
        "对 SpiderPool 使用的每个地址族，Calico 为节点检测到的地址",
        "节点缺少某个地址族的地址，或者地址有误，就没有该地址族的 BGP 会话。",
        (
            "在该节点的 calico-node 日志中查看它是如何检测地址的。如果用这种方式检测不到，请换一种："
            "IP_AUTODETECTION_METHOD；IPv6 则设置 IP6=autodetect。这会在所有节点上重启 calico-node，因此所选方式必须适"
            "合所有节点。"
        ),
    ),
    "bgp-advertises": Texts(
        "BIRD 通告的 Service 网段是否与 SpiderPool 的地址段重叠",
        "BIRD 会在每个节点上为这样的网段建立黑洞路由，丢弃发往其中其他节点 Pod 的报文。",
        "给 Service 或 SpiderPool 换一个网段：一个地址不能既属于 Service 又属于 Pod。",
    ),
    "bgp-sessions": Texts(
        "由 CalicoNodeStatus 得到的所有节点的会话状态",
        "会话不处于 Established，该节点 Pod 的路由就无法通告出去。",
        (
            "在该节点上运行 `spiderpool-ipam doctor`：node-bird 会说明原因。只有存在针对该节点的 CalicoNodeStatus "
            "时，calico-node 才会报告会话；没有时，doctor 会说明如何创建。"
        ),
    ),
    "bgp-router-view": Texts(
        "由 FRR 的输出（--router）得到的路由器的邻居和路由",
        "只有路由器有经由 Pod 所在节点到达它的路由，集群外部才能访问该 Pod。",
        (
            "peerState 为 Policy 时：设置 `no bgp ebgp-requires-policy`，或者给邻居配置 route-map，然后执行 `clear"
            " bgp * soft`。把路由器的输出交给 doctor：`vtysh -c 'show bgp summary json' -c 'show ip route bgp json'"
            " -c 'show ipv6 route bgp json' | spiderpool-ipam doctor --router -`。"
        ),
    ),
    "calico-annotations": Texts(
        "Pod 和模板中向 Calico 自己的 IPAM 请求地址的注解",
        (
            "使用其他 IPAM 时，Calico 的插件会拒绝带有 ipAddrs 或 ipAddrsNoIpam 的 Pod，Pod 无法启动。它不看"
            " ipv4pools 和 ipv6pools，于是 Pod 得到的地址来自另一个池，而不是所指定的池。"
        ),
        "删除这些注解，并在注解 `ipam.spidernet.io/ippool` 中指定 SpiderPool 的池。",
    ),
    "calico-kube-controllers": Texts(
        "Deployment calico-kube-controllers",
        "没有它，替换 conflist 之前由 calico-ipam 分配的地址和地址块就不会被释放。",
        "查明它的 Pod 为何没有运行。",
    ),
    "ipam-daemonset": Texts(
        "存在本项目的 DaemonSet 时，每个有 calico-node 的节点上是否都有它的一个 Ready 的 Pod",
        "没有它的节点上，既没有程序安装插件，也没有程序使插件和 conflist 保持安装后的状态。",
        (
            "为该 DaemonSet 设置与 calico-node 相同的容忍度，并查看其 Pod 的输出。如果它的 nodeSelector 没有选中某些"
            "节点（例如先在部分节点上安装），请在这些节点也需要该插件时放宽 nodeSelector。"
        ),
    ),
}
