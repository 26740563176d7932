"""ModelService: what Triton serves."""

from grpc import aio

from retouch.v1 import model_service_pb2 as pb
from retouch.v1 import model_service_pb2_grpc
from retouch_server.models.catalogue import Catalogue
from retouch_server.rpc import convert


class ModelServicer(model_service_pb2_grpc.ModelServiceServicer):
    """Asks Triton anew for each call."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def ListModels(  # noqa: N802
        self, request: pb.ListModelsRequest, context: aio.ServicerContext[pb.ListModelsRequest, pb.ListModelsResponse]
    ) -> pb.ListModelsResponse:
        return pb.ListModelsResponse(models=[convert.to_model(spec) for spec in await self._catalogue.refresh()])
