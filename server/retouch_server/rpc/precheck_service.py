"""PrecheckService: the plan, without the image."""

import asyncio

from grpc import aio

from retouch.v1 import precheck_service_pb2 as pb
from retouch.v1 import precheck_service_pb2_grpc
from retouch_server.errors import BadField
from retouch_server.pipeline.edit import Editor
from retouch_server.rpc import convert
from retouch_server.rpc.masks import MaskResolver


class PrecheckServicer(precheck_service_pb2_grpc.PrecheckServiceServicer):
    """Converts, delegates to the editor's planner, converts back."""

    def __init__(self, editor: Editor, masks: MaskResolver) -> None:
        self._editor = editor
        self._masks = masks

    async def Precheck(  # noqa: N802
        self, request: pb.PrecheckRequest, context: aio.ServicerContext[pb.PrecheckRequest, pb.PrecheckResponse]
    ) -> pb.PrecheckResponse:
        convert.check_message_size(request.ByteSize())
        header = convert.parse_header(request.size, request.pixel_format, request.options)
        if not request.HasField("proxy"):
            raise BadField("proxy", "is missing; send the image shrunk to at most 1024 px as PNG or JPEG")
        proxy = convert.parse_proxy(request.proxy, header)
        wanted = await self._masks.resolve(header, request.mask if request.HasField("mask") else None)
        planned = await self._editor.plan(wanted, proxy)
        return pb.PrecheckResponse(
            findings=convert.to_findings(planned.findings, planned.plan),
            plan=convert.to_plan(planned),
            estimate=convert.to_estimate(planned),
            mask_digest=wanted.mask.digest if wanted.mask else "",
            warnings=planned.plan.warnings,
            judged=await asyncio.to_thread(convert.to_judged, proxy, planned.findings),
        )
