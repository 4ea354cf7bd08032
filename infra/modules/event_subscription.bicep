// Delivers image versions to the app. Deployed after the code: Event Grid refuses a function that does not exist yet.

@description('Name of the system topic, in the resource group of this deployment: the gallery\'s.')
param topicName string

@description('Name of the gallery; versions in others of the same resource group are left out.')
param galleryName string

@description('Resource id of the Functions app.')
param functionAppId string

@description('Resource id of the storage account that keeps undelivered events.')
param storageId string

param deadLetterContainer string

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: topicName
}

resource subscription 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = {
  parent: topic
  name: 'goldroll'
  properties: {
    eventDeliverySchema: 'EventGridSchema'
    destination: {
      endpointType: 'AzureFunction'
      properties: {
        resourceId: '${functionAppId}/functions/image_published'
        maxEventsPerBatch: 1
        preferredBatchSizeInKilobytes: 64
      }
    }
    filter: {
      includedEventTypes: ['Microsoft.Resources.ResourceWriteSuccess']
      subjectBeginsWith: '${resourceGroup().id}/providers/Microsoft.Compute/galleries/${galleryName}/'
      isSubjectCaseSensitive: false
      advancedFilters: [
        {
          operatorType: 'StringIn'
          key: 'data.operationName'
          values: ['Microsoft.Compute/galleries/images/versions/write']
        }
      ]
    }
    // Twelve hours: the app's own sweep finds a version that no event announced.
    retryPolicy: {
      maxDeliveryAttempts: 30
      eventTimeToLiveInMinutes: 720
    }
    deadLetterWithResourceIdentity: {
      identity: { type: 'SystemAssigned' }
      deadLetterDestination: {
        endpointType: 'StorageBlob'
        properties: {
          resourceId: storageId
          blobContainerName: deadLetterContainer
        }
      }
    }
  }
}
