"""The texts of the checks of a node, in Chinese."""

from cni.doctor.check import Texts

TEXTS = {
    "node-installed": Texts(
        "install 留下的安装记录",
        "没有本插件，Calico 会用自己的 IPAM 为本节点的 Pod 分配地址。",
        "在该节点上运行 `spiderpool-ipam install`，或由 DaemonSet 完成安装。",
    ),
    "node-bundle": Texts(
        "按 SHA256SUMS 核对已安装版本的全部文件",
        "插件有文件损坏或缺失时，Pod 启动会失败；更糟的是，Pod 结束时也会失败。",
        "用 tar 包或镜像重新安装该版本。",
    ),
    "node-plugin-answers": Texts(
        "按容器运行时的方式调用插件，看它对 VERSION 的应答",
        "容器运行时无法运行插件时，本节点上任何 Pod 都无法启动。",
        (
            "重新安装该版本。如果文件系统以 noexec 挂载，请指定另一个插件目录，并让容器运行时使用它；如果被 SELinux"
            " 拒绝，请用 `restorecon` 恢复该目录的标签。"
        ),
    ),
    "node-plugin-ours": Texts(
        "插件目录中的 `spiderpool` 是不是本插件",
        (
            "自 0.4 起，每个 spiderpool-agent 启动时都会把自带的插件复制到那里。如果是 0.8.10 至 0.8.13、0.9.9 至"
            " 1.1.2 自带的插件，在 Calico 下每次 ADD 都会失败，报“Link not found”。"
        ),
        "重新安装，并让 `spiderpool-ipam watch` 保持运行：它会在一秒内把这个文件名收回来。",
    ),
    "node-conflist": Texts(
        "容器运行时为 Pod 加载的文件，以及其中的 ipam.type",
        "Pod 的地址只由这个文件指定的 IPAM 分配。",
        (
            "重新运行 `spiderpool-ipam install`。如果这个文件反复被其他程序改写，请让 `spiderpool-ipam watch` 保持"
            "运行，或者用 `--as` 安装，并取一个排序在最前的文件名。"
        ),
    ),
    "node-chain-binaries": Texts(
        "容器运行时加载的文件中列出的每个插件",
        "插件链中缺少任何一个插件，Pod 都无法启动。",
        "安装带有该插件的软件包：portmap、bandwidth 和 tuning 在 containernetworking-plugins 中。",
    ),
    "node-image": Texts(
        "插件在本节点上能否从映像启动，以启动器的回答为准",
        "没有映像，插件的功能不变，但每次调用的耗时会变成两到三倍。",
        (
            "视原因而定。如果映像已损坏，请重新安装该版本。如果某次 ADD 从映像启动后在本节点上出错，install 会停用"
            "映像；在更换内核或调整限制程序的机制之后，可以让它再试一次：`spiderpool-ipam install --no-image`，然后"
            " `install --image`。如果无法映射映像的内存，请检查内核版本（须为 4.17 或更新）、容器运行时服务的限制"
            "（LimitSTACK、LimitAS）、插件目录的挂载（不能是 noexec），以及 SELinux 或其他安全模块拒绝了什么。"
            "arm64 上没有映像，无须处理。"
        ),
    ),
    "node-netconf": Texts(
        "本节点的网络配置中写给本插件的内容",
        "配置中只要有错误的值，插件就会拒绝，每次调用都返回错误码 7。",
        (
            "修改所指出的键：在 Calico 的 conflist 中用 `spiderpool-ipam install --set KEY=VALUE` 修改，在您自己的"
            "文件中直接修改。所有键见 spec/netconf。"
        ),
    ),
    "node-agent": Texts(
        "agent 的套接字，以及 agent 是否报告自身健康",
        "没有 agent，本节点上的 Pod 得不到地址，地址也无法归还。",
        (
            "删除本节点上 agent 的 Pod，让它重新启动。如果没有效果，请查明它为何没有运行：上一次的状态、日志，以及"
            "节点的污点。"
        ),
    ),
    "node-calico-nodename": Texts(
        "/var/lib/calico/nodename，以及同名的 Node",
        "Calico 的插件需要这个文件，没有它就会在调用本插件之前失败。",
        "查明 calico-node 为何没有在本节点上运行：这个文件由它在启动时写入。",
    ),
    "node-default-route": Texts(
        "节点是否有到 169.254.1.1 的路由，这是 Calico 中 Pod 的网关",
        (
            "内核只有在自己有到网关的路由时，才会应答 Pod 对网关的 ARP 请求。否则，即使路由器有到这些 Pod 的路由、"
            "IPv6 也正常，本节点上所有 Pod 的 IPv4 都不通。"
        ),
        (
            "给节点加一条默认路由，现在就加，并写入其网络配置：像指南中那样指向路由器。或者加一条经上行接口到"
            " 169.254.1.1 的路由。节点还需要什么，之后由 `node-way-to-others` 说明。"
        ),
    ),
    "node-forwarding": Texts(
        "有相应地址族的 IP 池时，net.ipv4.ip_forward 和 net.ipv6.conf.all.forwarding 的值",
        "节点不做转发，就会丢弃进出其 Pod 的所有报文。",
        "把这些变量设为 1：现在就设，并写入 /etc/sysctl.d。",
    ),
    "node-agent-generation": Texts(
        "agent 具备哪些随版本逐步加入的操作",
        "1.2.0 之前的 agent 不提供 Pod 持有哪些地址，因此对本节点的 Pod 执行 CHECK 时没有可比较的内容。",
        "如果不使用 CHECK，无须处理；否则请使用 SpiderPool 1.2.0 或更新版本。",
    ),
    "node-pending": Texts(
        "十分钟仍没有 agent 接收的地址释放请求",
        "释放请求送达之前，已结束的 Pod 的地址一直处于占用状态。",
        (
            "让 agent 恢复运行，并让 `spiderpool-ipam watch` 保持运行，由它发送这些请求。如果这个 agent 不会再"
            "恢复，请用 `spiderpool-ipam pending --drop` 丢弃它们。"
        ),
    ),
    "node-conflist-fighting": Texts(
        "最近一天之内，其他程序在一小时内改过 conflist 多少次，以及改成了什么",
        (
            "conflist 未指定本插件期间，Pod 的地址由别的 IPAM 分配。每小时超过三次就不是升级，而是 Calico 的安装程"
            "序、节点上的代理程序或部署工具在反复改写它。"
        ),
        (
            "把 Calico 自己的模板（ConfigMap 中的 cni_network_config）改为 `spiderpool`；或者用 `--as` 安装一份排序"
            "在最前的副本，原文件就由 Calico 随意改写。"
        ),
    ),
    "node-cali": Texts(
        "通向本节点每个 Pod 地址的主机路由和接口",
        "发往 Pod 的报文只能经由指向其接口的主机路由到达。",
        "删除该 Pod，让 Calico 重新创建其接口。如果重建后仍然如此，请查看 Felix 的日志。",
    ),
    "node-blackhole": Texts(
        "本节点上会丢弃发往 SpiderPool 地址的报文的路由",
        "BIRD 会为本节点拥有的每个地址块以及 Service 的网段建立这样的路由。发往其中其他节点的 Pod 的报文都会被丢弃。",
        "释放该地址块（见 calico-blocks），或者不再让 Service 使用该网段（见 bgp-advertises）。",
    ),
    "node-way-to-others": Texts(
        "全互联关闭时，本节点是否有到其他节点 Pod 的路由",
        (
            "同一 AS 的节点不会接受从 eBGP 路由器传来的彼此的路由，因为其中含有自己的 AS 号。于是发往其他节点 Pod "
            "的报文走默认路由，而默认路由的下一跳必须有到这些 Pod 的路由。"
        ),
        (
            "让默认路由指向路由器；或者让 BGPPeer 接受含有本节点 AS 号的路由（numAllowedLocalASNumbers）；或者开启"
            "全互联。如果网关通过其他途径得到了这些路由，则没有问题。"
        ),
    ),
    "node-calico-token": Texts(
        "Calico 的插件访问 API 所用的令牌何时到期",
        "令牌到期后，Calico 的插件无法启动任何 Pod。calico-node 在运行期间会为它续期。",
        "重启本节点上的 calico-node。",
    ),
    "node-bird": Texts(
        "BIRD 的套接字，以及它的 BGP 会话是否处于 Established",
        "会话不处于 Established，本节点 Pod 的路由就无法通告出去。",
        (
            "把 BGPPeer 的 peerIP 和 asNumber 与路由器自身的设置对比，再把路由器上的邻居与节点的地址和 AS 号对比。"
            "节点与路由器之间，TCP 端口 179 至少要有一个方向可以连通。"
        ),
    ),
    "node-bird-exports": Texts(
        "BIRD 是否导出了本节点的 Pod 从 SpiderPool 得到的每个地址",
        "BIRD 没有导出的地址，路由器就没有到它的路由。",
        "查明是什么拒绝了导出：能读取 Calico 的对象时，doctor 会直接指出。",
    ),
    "node-router-silent": Texts(
        "接收本节点路由的路由器是否发来过路由",
        (
            "FRR 默认启用 `bgp ebgp-requires-policy`，此时它既不接收也不发送任何路由，而会话照样是 Established。在"
            "节点上看不到其他迹象。"
        ),
        "到路由器上查看：用 `--router` 让 doctor 读取 FRR 的输出。",
    ),
}
